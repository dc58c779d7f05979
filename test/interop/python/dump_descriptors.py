"""Write the descriptors of Flower's AppIo and Fleet, and all they import, to a file."""

import importlib
import sys

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

files = FileDescriptorSet()
known: set[str] = set()


def add(file: FileDescriptor) -> None:
    if file.name in known:
        return
    known.add(file.name)
    for dependency in file.dependencies:
        add(dependency)
    file.CopyToProto(files.file.add())


for name in ("serverappio", "clientappio", "fleet"):
    add(importlib.import_module(f"flwr.proto.{name}_pb2").DESCRIPTOR)
with open(sys.argv[1], "wb") as output:
    output.write(files.SerializeToString())
