import {
  createFileRegistry,
  type DescEnum,
  type DescField,
  type DescMessage,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/**
 * What the files of a FileDescriptorSet say about the wire, by full name: of fields their number,
 * type, oneof and presence; of oneofs their members; of RPCs their kind and messages.
 *
 * @param below only names that start with this
 */
export function descriptorFacts(bytes: Uint8Array, below: string): ReadonlyMap<string, string> {
  const facts = new Map<string, string>();
  for (const file of createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes)).files) {
    for (const message of file.messages) addMessage(facts, message);
    for (const each of file.enums) addEnum(facts, each);
    for (const { typeName, methods } of file.services) {
      facts.set(`service ${typeName}`, "");
      for (const { name, methodKind, input, output } of methods) {
        const kind = `${methodKind} ${input.typeName} -> ${output.typeName}`;
        facts.set(`rpc ${typeName}/${name}`, kind);
      }
    }
  }
  return new Map([...facts].filter(([name]) => name.split(" ")[1]?.startsWith(below)));
}

function addMessage(facts: Map<string, string>, message: DescMessage): void {
  facts.set(`message ${message.typeName}`, "");
  for (const { name, fields } of message.oneofs) {
    const members = fields.map((field) => field.name).join(" ");
    facts.set(`oneof ${message.typeName}.${name}`, members);
  }
  for (const field of message.fields) {
    facts.set(`field ${message.typeName}.${field.name}`, fieldFacts(field));
  }
  for (const nested of message.nestedMessages) addMessage(facts, nested);
  for (const nested of message.nestedEnums) addEnum(facts, nested);
}

function addEnum(facts: Map<string, string>, { typeName, values }: DescEnum): void {
  for (const { name, number } of values) facts.set(`value ${typeName}.${name}`, String(number));
}

function fieldFacts(field: DescField): string {
  const element = field.message?.typeName ?? field.enum?.typeName ?? `scalar ${field.scalar}`;
  const type =
    field.fieldKind === "map"
      ? `map of scalar ${field.mapKey} to ${element}`
      : field.fieldKind === "list"
        ? `${field.packed ? "packed " : ""}list of ${element}`
        : element;
  return `${field.number}: ${type}, presence ${field.presence}, oneof ${field.oneof?.name ?? "none"}`;
}
