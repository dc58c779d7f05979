/** The bits of an error that a Python ClientApp's exception becomes. */
export const pythonBoom = { code: 2, reason: "<class 'ValueError'>:<'boom'>" };

/** The same of a ClientApp in TypeScript. */
export const typeScriptBoom = { code: 2, reason: "<class 'RangeError'>:<'boom'>" };
