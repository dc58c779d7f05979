/** Which kind of app a SuperExec starts: it decides the service that is polled. */
export type PluginType = "serverapp" | "clientapp";

/** What an app process runs. A SuperExec for ServerApps starts simulations as well: they are runs of another type. */
export type AppType = PluginType | "simulation";
