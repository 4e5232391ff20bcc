"""A client that is not ours: openssl signs, grpcio submits.

Usage: client.py STUBS GATEWAY TLS_CERT TLS_KEY TLS_ROOTS SIGN_CERT SIGN_KEY FROM TO PART_BYTES
STUBS is a folder with stubs made by grpc_tools.protoc from proto/. Prints one JSON document with what it saw.
"""

import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid

if len(sys.argv) != 11:
    print(__doc__.strip(), file=sys.stderr)
    sys.exit(2)
(stubs, gateway, tls_cert, tls_key, tls_roots, sign_cert, sign_key, sender, recipient, part_bytes) = sys.argv[1:]
sys.path.insert(0, stubs)

import grpc  # noqa: E402
from lienthong.gateway.v1 import envelope_pb2, receipt_pb2, submit_pb2, submit_pb2_grpc  # noqa: E402


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sign(content):
    """Detached CMS with the signing-certificate attribute, as any agency with openssl can make it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "envelope.bin")
        with open(path, "wb") as file:
            file.write(content)
        command = ["openssl", "cms", "-sign", "-binary", "-cades", "-md", "sha256", "-outform", "DER",
                   "-in", path, "-signer", sign_cert, "-inkey", sign_key]
        return subprocess.run(command, check=True, capture_output=True).stdout


def frames(digest, content, offset):
    yield submit_pb2.UploadPartRequest(header=submit_pb2.PartHeader(sha256=digest, size=len(content), offset=offset))
    for start in range(offset, len(content), 256 * 1024):
        yield submit_pb2.UploadPartRequest(chunk=content[start:start + 256 * 1024])


def go_on(client, digest, content):
    """Uploads the rest. Bytes of the upload that broke may still be coming in at the gateway: then it answers that more is here by now
    (UPLOAD_OFFSET), or that the other upload has not ended (OVERLOADED), and is asked again where to go on."""
    until = time.monotonic() + 60
    while True:
        missing = client.MissingParts(submit_pb2.MissingPartsRequest(sha256=[digest]), timeout=30).missing
        try:
            stored = client.UploadPart(frames(digest, content, missing[0].received), timeout=60)
            return missing[0].received, stored.size
        except grpc.RpcError as error:
            is_early = any(reason in error.details() for reason in ("UPLOAD_OFFSET", "OVERLOADED"))
            if not is_early or time.monotonic() > until:
                raise
            time.sleep(0.1)


def main():
    credentials = grpc.ssl_channel_credentials(read(tls_roots), read(tls_key), read(tls_cert))
    channel = grpc.secure_channel(gateway, credentials)
    client = submit_pb2_grpc.SubmitServiceStub(channel)

    content = (b"%PDF-1.4 " + os.urandom(1 << 16)) * (int(part_bytes) // ((1 << 16) + 9) + 1)
    content = content[:int(part_bytes)]
    digest = hashlib.sha256(content).digest()

    now = datetime.datetime.now(datetime.timezone.utc)
    envelope = envelope_pb2.Envelope(schema="lienthong.envelope.v1", id=str(uuid.uuid4()))
    setattr(envelope, "from", sender)
    envelope.to.add(agency=recipient)
    envelope.created_at.FromDatetime(now)
    envelope.expires_at.FromDatetime(now + datetime.timedelta(days=3))
    envelope.document.code = "12/UBND-VP"
    envelope.document.type_name = "Công văn"
    envelope.document.subject = "Gửi bản vẽ hiện trạng"
    envelope.parts.add(name="bản vẽ.pdf", media_type="application/pdf", size=len(content), sha256=digest)
    raw = envelope.SerializeToString()
    signed = envelope_pb2.SignedEnvelope(envelope=raw, signatures=[
        envelope_pb2.Signature(cms=sign(raw), role=envelope_pb2.SIGNATURE_ROLE_AGENCY)])

    seen = {"envelope_id": envelope.id}
    try:
        client.Submit(submit_pb2.SubmitRequest(envelope=signed), timeout=30)
        seen["before_upload"] = "accepted"
    except grpc.RpcError as error:
        seen["before_upload"] = error.code().name

    # The first upload breaks at half; the second goes on where MissingParts says.
    def broken():
        sent = 0
        for frame in frames(digest, content, 0):
            if sent >= len(content) // 2:
                raise RuntimeError("the line broke")
            sent += len(frame.chunk)
            yield frame
    try:
        client.UploadPart(broken(), timeout=30)
    except grpc.RpcError as error:
        seen["broken_upload"] = error.code().name
    seen["resumed_at"], seen["stored"] = go_on(client, digest, content)
    seen["still_missing"] = len(client.MissingParts(submit_pb2.MissingPartsRequest(sha256=[digest]), timeout=30).missing)

    answer = client.Submit(submit_pb2.SubmitRequest(envelope=signed), timeout=30)
    seen["duplicate"] = answer.duplicate
    again = client.Submit(submit_pb2.SubmitRequest(envelope=signed), timeout=30)
    seen["repeat_is_duplicate"] = again.duplicate
    seen["repeat_has_first_receipt"] = again.receipt == answer.receipt

    seen["events"] = []
    request = submit_pb2.WatchRequest(sender=sender, envelope_id=envelope.id)
    for event in client.Watch(request, timeout=60):
        parsed = receipt_pb2.Event.FromString(event.receipt.event)
        seen["events"].append([parsed.gateway, receipt_pb2.EventKind.Name(parsed.kind)])
    receipts = client.GetReceipt(submit_pb2.GetReceiptRequest(sender=sender, envelope_id=envelope.id), timeout=30).receipts
    seen["receipts"] = len(receipts)
    state = client.Track(submit_pb2.TrackRequest(sender=sender, envelope_id=envelope.id), timeout=30)
    seen["status"] = submit_pb2.DeliveryStatus.Name(state.deliveries[0].status)
    with open(os.path.join(stubs, "receipts.bin"), "wb") as file:
        file.write(submit_pb2.GetReceiptResponse(receipts=receipts).SerializeToString())
    print(json.dumps(seen))


main()
