"""Makes the stubs of the wire in stubs/, from the folder of proto files that is named."""

import pathlib
import sys

from grpc_tools import protoc
import grpc_tools

proto = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "proto").resolve()
stubs = pathlib.Path(__file__).resolve().parent / "stubs"
stubs.mkdir(exist_ok=True)
known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
files = sorted(str(path.relative_to(proto)) for path in proto.glob("lienthong/gateway/v1/*.proto"))
sys.exit(protoc.main(["protoc", f"-I{proto}", f"-I{known}", f"--python_out={stubs}", f"--grpc_python_out={stubs}", *files]))
