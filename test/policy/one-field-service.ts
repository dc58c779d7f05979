import { create, createFileRegistry, type DescService } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  type FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";

const wellKnown = [
  file_google_protobuf_any,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
];

/** A service of one RPC, whose request has one field; for what no .proto file of ours has. */
export function oneFieldService(field: {
  name: string;
  type: FieldDescriptorProto_Type;
  typeName?: string;
  rpc?: string;
  hasExtensions?: boolean;
}): DescService {
  const file = create(FileDescriptorProtoSchema, {
    name: "one.proto",
    package: "one",
    // Only proto2 and editions have extensions.
    syntax: field.hasExtensions === true ? "proto2" : "proto3",
    dependency: wellKnown.map(({ proto }) => proto.name),
    messageType: [
      {
        name: "Request",
        extensionRange: field.hasExtensions === true ? [{ start: 100, end: 200 }] : [],
        field: [
          {
            name: field.name,
            number: 1,
            type: field.type,
            typeName: field.typeName ?? "",
            label: FieldDescriptorProto_Label.OPTIONAL,
          },
        ],
      },
      { name: "Response" },
    ],
    enumType: [{ name: "Choice", value: [{ name: "ZERO", number: 0 }] }],
    service: [
      {
        name: "One",
        method: [
          { name: field.rpc ?? "Call", inputType: ".one.Request", outputType: ".one.Response" },
        ],
      },
    ],
  });
  const set: FileDescriptorSet = create(FileDescriptorSetSchema, {
    file: [...wellKnown.map(({ proto }) => proto), file],
  });
  const service = createFileRegistry(set).getService("one.One");
  if (service === undefined) {
    throw new Error("no service");
  }
  return service;
}
