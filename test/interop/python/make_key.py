"""Make a SuperNode's key as Flower's documentation does with ssh-keygen. Argument: the file to make."""

import os
import sys

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from flwr.supercore.primitives.asymmetric import generate_key_pairs

path = sys.argv[1]
private_key, public_key = generate_key_pairs()
with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
    file.write(private_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
with open(f"{path}.pub", "wb") as file:
    file.write(public_key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
print("{}")
