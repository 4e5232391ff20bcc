"""Makes the stubs of the wire in stubs/, from the folder of proto files that is named."""

import pathlib
import sys

try:
    from grpc_tools import protoc
    import grpc_tools
except ImportError:
    sys.exit(f"{sys.executable} has no grpcio-tools: python3 -m venv venv && venv/bin/pip install -r requirements.txt, "
             "then lienthong adapter test --set python=venv/bin/python")

proto = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "proto").resolve()
stubs = pathlib.Path(__file__).resolve().parent / "stubs"
stubs.mkdir(exist_ok=True)
known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
files = sorted(str(path.relative_to(proto)) for path in proto.glob("lienthong/gateway/v1/*.proto"))
sys.exit(protoc.main(["protoc", f"-I{proto}", f"-I{known}", f"--python_out={stubs}", f"--grpc_python_out={stubs}", *files]))
