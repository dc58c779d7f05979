/** What a client is told to do, a line of JSON each. */
export type ClientOrder =
  | {
      /** Makes small calls for so many seconds. */
      readonly do: "call";
      readonly runId: string;
      readonly token: string;
      readonly seconds: number;
      readonly atOnce: number;
    }
  | {
      /** Makes so many messages; another number makes others. */
      readonly do: "prepare";
      readonly runId: string;
      readonly token: string;
      readonly messages: number;
      readonly number: number;
    }
  | { readonly do: "push" }
  | { readonly do: "pull"; readonly replies: number };
