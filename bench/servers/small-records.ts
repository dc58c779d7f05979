import { ConfigRecord } from "../../src/appio/objects/config-record.ts";
import { RecordDict } from "../../src/appio/objects/record-dict.ts";

/** The content of a small message. Another number makes other objects of it. */
export function smallRecords(number: number): RecordDict {
  return new RecordDict({ config: new ConfigRecord({ lr: 0.1, "server-round": number }) });
}
