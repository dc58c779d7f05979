/** The id of the SuperLink among the nodes: ServerApps send and receive as this node (contract section 10). */
export const superLinkNodeId = 1n;
