"""Key pairs and tokens as others make and read them: pyca/cryptography and PyJWT.

`make FOLDER PASSPHRASE` writes plain.p8, encrypted.p8 and public.pem, and prints the fingerprint Snowflake would show.
`verify PUBLIC` reads a token from standard input, checks its signature, and prints header and claims as JSON.
"""

import base64
import hashlib
import json
import pathlib
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def make(folder, passphrase):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ways = {
        "plain.p8": serialization.NoEncryption(),
        "encrypted.p8": serialization.BestAvailableEncryption(passphrase.encode()),
    }
    for name, encryption in ways.items():
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        (pathlib.Path(folder) / name).write_bytes(pem)
    public, info = key.public_key(), serialization.PublicFormat.SubjectPublicKeyInfo
    (pathlib.Path(folder) / "public.pem").write_bytes(public.public_bytes(serialization.Encoding.PEM, info))
    digest = hashlib.sha256(public.public_bytes(serialization.Encoding.DER, info)).digest()
    print("SHA256:" + base64.b64encode(digest).decode())


def verify(public):
    token = sys.stdin.read().strip()
    # Dates are the caller's to judge: its clock may stand.
    claims = jwt.decode(
        token, pathlib.Path(public).read_text(), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    print(json.dumps({"header": jwt.get_unverified_header(token), "claims": claims}))


if __name__ == "__main__":
    {"make": make, "verify": verify}[sys.argv[1]](*sys.argv[2:])
