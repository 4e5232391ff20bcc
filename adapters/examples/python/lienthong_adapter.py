"""The loop of a Liên Thông adapter: register, lease, heartbeat, complete or fail, submit, drain. Copy it beside your adapter.

An adapter is a class with `name`, `version`, `schema` and:

    problems(config)   -> [(key, problem)]: what is wrong with the configuration; no effects
    open(config)       gets the configuration once, before any work
    deliver(delivery)  hands one delivery to your system; returns its reference there. Raises Refused (for good) or Later (for now).
                       Any other exception counts as Later. Must be harmless the second time.
    collect()          -> [Submission]: what your system has to send; called again and again. Optional.

`run(YourAdapter())` does the rest and ends the process. Needs grpcio, the stubs made from proto/, and openssl for `seal`.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "stubs"))

import grpc  # noqa: E402
from lienthong.gateway.v1 import adapter_pb2 as wire, adapter_pb2_grpc, envelope_pb2, submit_pb2  # noqa: E402

ROOM = 8                # deliveries at the same time
WAIT_SECONDS = 20       # long poll
BACK_OFF_SECONDS = (0.2, 0.5, 1, 2, 5, 10, 30)
CHUNK_BYTES = 256 * 1024
BAD_CONFIGURATION = 78
REMEMBERED = 100_000    # delivery ids
NEEDED = ["GATEWAY", "ROOTS", "CERTIFICATE", "KEY", "QUEUE"]
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
BROKEN = (*PASSING, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)


class Refused(Exception):
    """The system will never take it. `code` is stable: A-Z, 0-9 and _; `detail` is for operators: no payload, no secrets."""

    retryable = False

    def __init__(self, code, detail="", retry_after=None):
        super().__init__(code)
        self.code, self.detail, self.retry_after = code, detail, retry_after


class Later(Refused):
    """The system does not take it now."""

    retryable = True


class LeaseLost(Exception):
    """Somebody else has the delivery now: stop, and say nothing more about it."""


class Submission:
    """An envelope to send. `key` names it for ever, so that a repeat sends the same bytes: another thing to send has another key.
    `sent()` is called when it is accepted."""

    def __init__(self, key, envelope, files=(), sent=lambda: None):
        self.key, self.envelope, self.files, self.sent = key, envelope, files, sent


class Delivery:
    """One delivery: `id`, `envelope` (parsed), `sender`, `recipient`, `attempt`, `signed` (bytes), and its parts."""

    def __init__(self, worker, leased):
        self._worker, self._leased = worker, leased
        self.id, self.sender, self.recipient, self.attempt = leased.delivery_id, leased.sender, leased.recipient, leased.attempt
        self.signed = leased.envelope.SerializeToString()
        self.envelope = envelope_pb2.Envelope.FromString(leased.envelope.envelope)
        self.lost = threading.Event()
        self.lease_seconds = leased.lease_remaining.ToTimedelta().total_seconds() or float("inf")
        self.until = time.monotonic() + self.lease_seconds
        self.lease = wire.LeaseReference(delivery_id=self.id, lease_token=leased.lease_token)

    def write_into(self, folder):
        """Writes the signed envelope and each part durably into a new folder: envelope.bin, part-0001 and so on."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        replace(folder / "envelope.bin", self.signed)
        for number, part in enumerate(self.envelope.parts, 1):
            with open(folder / f"part-{number:04}", "wb") as file:
                self.copy_part(part, file.write)
                file.flush()
                os.fsync(file.fileno())
        sync(folder)

    def copy_part(self, part, write):
        """Reads one part in pieces; raises Later when the bytes are not those of its digest."""
        digest, size, pause = hashlib.sha256(), 0, pauses()
        while True:
            before = size
            request = wire.DownloadPartRequest(worker_id=self._worker.id, lease=self.lease, sha256=part.sha256, offset=size)
            try:
                for piece in self._worker.stub.DownloadPart(request):
                    self.check_lease()
                    size += len(piece.chunk)
                    if size > part.size:
                        break
                    digest.update(piece.chunk)
                    write(piece.chunk)
                break
            except grpc.RpcError as error:
                # A download that broke off goes on where it stopped, for as long as it gets on.
                if size == before or error.code() not in BROKEN:
                    raise
                time.sleep(next(pause))
        self._worker.check_part(part, size, digest.digest())

    def check_lease(self):
        """Raises LeaseLost when the lease is gone, by the gateway's word or by the clock; call it right before an effect."""
        if self.lost.is_set() or time.monotonic() > self.until:
            raise LeaseLost()


class Journal:
    """Ids of deliveries that are done, one a line, durable before Complete is said."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        # What a crash cut short, in the middle of a letter perhaps, is no line.
        lines = [line.decode() for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []
        self.done = dict(line.split(" ", 1) for line in lines if " " in line)
        self.write_anew()

    def write_anew(self):
        """The newest ids alone: the file never grows for ever."""
        self.done = dict(list(self.done.items())[-REMEMBERED:])
        replace(self.path, "".join(f"{id} {reference}\n" for id, reference in self.done.items()).encode())
        self.file = open(self.path, "ab")

    def get(self, id):
        with self.lock:
            return self.done.get(id)

    def add(self, id, reference):
        with self.lock:
            self.done[id] = reference
            self.file.write(f"{id} {reference}\n".encode())
            self.file.flush()
            os.fsync(self.file.fileno())
            if len(self.done) >= 2 * REMEMBERED:
                self.file.close()
                self.write_anew()


class Worker:
    def __init__(self, adapter):
        self.adapter, self.id, self.not_taken = adapter, "", set()
        self.draining, self.held, self.lock = threading.Event(), {}, threading.Lock()
        self.queue = os.environ["LIENTHONG_QUEUE"]
        self.state = pathlib.Path(os.environ.get("LIENTHONG_STATE") or "state")
        self.state.mkdir(parents=True, exist_ok=True)
        self.waiting = None
        self.heartbeat_seconds = 10.0
        self.pool = ThreadPoolExecutor(ROOM)
        read = lambda name: pathlib.Path(os.environ[name]).read_bytes()  # noqa: E731
        credentials = grpc.ssl_channel_credentials(
            read("LIENTHONG_ROOTS"), read("LIENTHONG_KEY"), read("LIENTHONG_CERTIFICATE"))
        options = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.min_reconnect_backoff_ms", 1_000),
                   ("grpc.max_reconnect_backoff_ms", 30_000),
                   ("grpc.keepalive_time_ms", 30_000), ("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        address = os.environ["LIENTHONG_GATEWAY"].removeprefix("https://").rstrip("/")
        self.stub = adapter_pb2_grpc.AdapterServiceStub(grpc.secure_channel(address, credentials, options))

    # Life

    def run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.drain())
        config, problems = self.configuration()
        if not self.register(problems):
            return 0
        if problems:
            for key, problem in problems:
                log(f"configuration: {key}: {problem}")
            return BAD_CONFIGURATION
        self.adapter.open(config)
        self.journal = Journal(self.state / "done")
        threads = [threading.Thread(target=self.keep_leases, daemon=True)]
        if hasattr(self.adapter, "collect"):
            threads.append(threading.Thread(target=self.send, daemon=True))
        for thread in threads:
            thread.start()
        self.take_work()
        self.pool.shutdown(wait=True)
        try:
            self.stub.ReportStatus(wire.ReportStatusRequest(worker_id=self.id, phase=wire.WORKER_PHASE_LEAVING), timeout=5)
        except grpc.RpcError as error:
            log(f"the gateway was not told that this worker leaves: {error.code().name}")
        return 0

    def drain(self):
        self.draining.set()
        if self.waiting is not None:
            self.waiting.cancel()

    def configuration(self):
        path = os.environ.get("LIENTHONG_CONFIG")
        try:
            config = json.loads(pathlib.Path(path).read_bytes()) if path else {}
        except (OSError, ValueError):
            return {}, [("", "the configuration file cannot be read, or is no JSON")]
        if not isinstance(config, dict):
            return {}, [("", "the configuration is no JSON object")]
        return config, self.adapter.problems(config)

    def register(self, problems=()):
        capabilities = [wire.ADAPTER_CAPABILITY_DELIVER, wire.ADAPTER_CAPABILITY_PARTS]
        if hasattr(self.adapter, "collect"):
            capabilities.append(wire.ADAPTER_CAPABILITY_SUBMIT)
        request = wire.RegisterRequest(
            queue=self.queue, instance=f"{socket.gethostname()[:100]}-{os.getpid()}",
            info=wire.AdapterInfo(name=self.adapter.name, version=self.adapter.version, protocol_versions=[1],
                                  capabilities=capabilities, config_schema=json.dumps(self.adapter.schema)),
            problems=[wire.ConfigProblem(key=short(key, 128), problem=short(problem, 512)) for key, problem in problems[:64]])
        for wait in pauses():
            try:
                answer = self.stub.Register(request, timeout=10, wait_for_ready=True)
                self.id = answer.worker_id
                self.heartbeat_seconds = max(0.1, answer.heartbeat_every.ToTimedelta().total_seconds())
                log(f"registered at the queue {self.queue}")
                return True
            except grpc.RpcError as error:
                log(f"cannot register: {error.code().name}: {error.details()}")
                if self.draining.wait(wait):
                    return False

    # Work

    def take_work(self):
        pause = pauses()
        while not self.draining.is_set():
            room = self.room()
            if room == 0:
                time.sleep(0.05)
                continue
            request = wire.LeaseRequest(worker_id=self.id, deliveries_max=room)
            request.wait.FromSeconds(WAIT_SECONDS)
            self.waiting = self.stub.Lease.future(request, timeout=WAIT_SECONDS + 10, wait_for_ready=True)
            if self.draining.is_set():
                self.waiting.cancel()
            try:
                answer = self.waiting.result()
            except (grpc.RpcError, grpc.FutureCancelledError) as error:
                if not self.draining.is_set():
                    self.after(error, pause)
                continue
            pause = pauses()
            for leased in answer.deliveries:
                delivery = Delivery(self, leased)
                with self.lock:
                    self.held.setdefault(delivery.id, []).append(delivery)
                self.pool.submit(self.work, delivery)

    def room(self):
        with self.lock:
            return ROOM - sum(len(same) for same in self.held.values())

    def after(self, error, pause):
        if is_unknown(error):
            self.register()
            return
        log(f"the gateway does not answer: {error.code().name if isinstance(error, grpc.RpcError) else 'cancelled'}")
        self.draining.wait(next(pause))

    def work(self, delivery):
        try:
            with self.alone(delivery):
                self.settle(delivery)
        except LeaseLost:
            log(f"{delivery.id}: the lease is lost; somebody else has it")
        except Exception as error:  # nothing that goes wrong with one delivery may end the worker
            log(f"{delivery.id}: {type(error).__name__}")
        finally:
            with self.lock:
                same = self.held.get(delivery.id, [])
                same.remove(delivery)
                if not same:
                    del self.held[delivery.id]

    def alone(self, delivery):
        """Two attempts of one delivery never run at the same time."""
        with self.lock:
            first = self.held[delivery.id][0]
            first.__dict__.setdefault("turn", threading.Lock())
            delivery.turn = first.turn
        return delivery.turn

    def settle(self, delivery):
        try:
            reference = self.do_once(delivery)
        except Refused as failed:
            self.fail(delivery, failed)
            return
        except grpc.RpcError as error:
            self.fail(delivery, Later("PART_NOT_READ", error.code().name))
            return
        except LeaseLost:
            raise
        except Exception as error:
            self.fail(delivery, Later("SYSTEM_ERROR", type(error).__name__))
            return
        delivery.check_lease()
        request = wire.CompleteRequest(worker_id=self.id, lease=delivery.lease, reference=reference)
        self.say(self.stub.Complete, request, delivery)

    def do_once(self, delivery):
        reference = self.journal.get(delivery.id)
        if reference is None:
            delivery.check_lease()
            reference = short(str(self.adapter.deliver(delivery) or ""), 128)
            self.journal.add(delivery.id, reference)
        return reference

    def fail(self, delivery, failed):
        delivery.check_lease()
        log(f"{delivery.id}: {failed.code}")
        request = wire.FailRequest(worker_id=self.id, lease=delivery.lease, code=failed.code,
                                   detail=short(failed.detail, 512), retryable=failed.retryable)
        if failed.retry_after is not None:
            request.retry_after.FromMilliseconds(int(failed.retry_after * 1000))
        self.say(self.stub.Fail, request, delivery)

    def say(self, call, request, delivery):
        """Settles a lease. What cannot be said is no loss: the lease ends, and the delivery comes again under the same id."""
        for wait in pauses():
            try:
                call(request, timeout=60)
                return
            except grpc.RpcError as error:
                log(f"{delivery.id}: not settled: {error.code().name}")
                if error.code() not in PASSING or self.draining.wait(wait):
                    return
                delivery.check_lease()

    def check_part(self, part, size, digest):
        if size != part.size or digest != part.sha256:
            raise Later("PART_DAMAGED", "a part is not what its digest says")

    def keep_leases(self):
        pause = self.heartbeat_seconds
        while True:
            time.sleep(pause)
            pause = self.heartbeat_seconds
            with self.lock:
                held = [delivery for same in self.held.values() for delivery in same if not delivery.lost.is_set()]
            if not held:
                continue
            request, asked = wire.HeartbeatRequest(worker_id=self.id, leases=[delivery.lease for delivery in held]), time.monotonic()
            try:
                answer = self.stub.Heartbeat(request, timeout=self.heartbeat_seconds)
            except grpc.RpcError as error:
                log(f"no heartbeat: {error.code().name}")
                # There is time for more than one before the leases end.
                pause = self.heartbeat_seconds / 8
                continue
            for delivery, verdict in zip(held, answer.leases):
                if verdict.held:
                    delivery.until = asked + delivery.lease_seconds
                else:
                    delivery.lost.set()

    # The other direction

    def send(self):
        pause = pauses()
        while not self.draining.is_set():
            try:
                for submission in self.adapter.collect():
                    if submission.key not in self.not_taken:
                        self.send_or_leave(submission)
                pause = pauses()
                self.draining.wait(0.2)
            except (grpc.RpcError, OSError, subprocess.SubprocessError) as error:
                log(f"not submitted: {error.code().name if isinstance(error, grpc.RpcError) else type(error).__name__}")
                self.draining.wait(next(pause))

    def send_or_leave(self, submission):
        """What the gateway refuses for good stays where it is until the next start; what comes after it does not wait for that."""
        try:
            self.send_one(submission)
        except grpc.RpcError as error:
            if error.code() in BROKEN or is_unknown(error):
                raise
            log(f"a submission is refused and left: {error.code().name}: {error.details()}")
            self.not_taken.add(submission.key)

    def send_one(self, submission):
        sealed = self.state / ("sealed-" + hashlib.sha256(submission.key.encode()).hexdigest()[:32])
        if not sealed.exists():
            # Kept before it is sent: a repeat sends the same bytes.
            replace(sealed, seal(submission.envelope(), self.adapter.seal).SerializeToString())
        missing = [hashlib.sha256(content).digest() for content in submission.files]
        if missing:
            answer = self.stub.MissingParts(wire.AdapterServiceMissingPartsRequest(sha256=missing), timeout=30)
            for part in answer.missing:
                content = submission.files[missing.index(part.sha256)]
                self.stub.UploadPart(frames(part.sha256, content, part.received), timeout=600)
        signed = envelope_pb2.SignedEnvelope.FromString(sealed.read_bytes())
        request = wire.AdapterServiceSubmitRequest(request=submit_pb2.SubmitRequest(envelope=signed))
        self.stub.Submit(request, timeout=60)
        submission.sent()
        sealed.unlink()


def new_envelope(sender, recipient, days=30):
    """An envelope with its id, its agencies and its times; add content and parts."""
    now = time.time()
    envelope = envelope_pb2.Envelope(schema="lienthong.envelope.v1", id=str(uuid.uuid4()))
    setattr(envelope, "from", sender)
    envelope.to.add(agency=recipient)
    envelope.created_at.FromMicroseconds(int(now * 1e6))
    envelope.expires_at.FromMicroseconds(int((now + days * 86_400) * 1e6))
    return envelope


def seal(envelope, files):
    """Signs with the agency's (certificate, key) files, by openssl: detached CMS with the signing-certificate attribute."""
    raw = envelope.SerializeToString()
    command = ["openssl", "cms", "-sign", "-binary", "-cades", "-md", "sha256", "-outform", "DER",
               "-signer", files[0], "-inkey", files[1]]
    cms = subprocess.run(command, input=raw, check=True, capture_output=True).stdout
    signature = envelope_pb2.Signature(cms=cms, role=envelope_pb2.SIGNATURE_ROLE_SEALED_BY_ADAPTER)
    return envelope_pb2.SignedEnvelope(envelope=raw, signatures=[signature])


def frames(digest, content, offset):
    header = submit_pb2.PartHeader(sha256=digest, size=len(content), offset=offset)
    yield wire.AdapterServiceUploadPartRequest(header=header)
    for start in range(offset, len(content), CHUNK_BYTES):
        yield wire.AdapterServiceUploadPartRequest(chunk=content[start:start + CHUNK_BYTES])


def replace(path, content):
    """Writes a file durably, whole or not at all."""
    early = path.with_name("." + path.name)
    with open(early, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(early, path)
    sync(path.parent)


def folder(path):
    """A folder that is there."""
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def sync(folder):
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def short(text, most):
    """On one line, and at most so many bytes: a gateway refuses more."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line.encode()[:most].decode(errors="ignore")


def is_unknown(error):
    if not isinstance(error, grpc.RpcError):
        return False
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return b"WORKER_UNKNOWN" in details


def pauses():
    for seconds in BACK_OFF_SECONDS:
        yield seconds
    while True:
        yield BACK_OFF_SECONDS[-1]


def log(text):
    """To stderr: ids, codes and states; never payload, never secrets."""
    print(text, file=sys.stderr, flush=True)


def run(adapter):
    """Runs the adapter until SIGTERM and ends the process."""
    missing = [f"LIENTHONG_{name}" for name in NEEDED if not os.environ.get(f"LIENTHONG_{name}")]
    if missing:
        log(f"not set in the environment: {', '.join(missing)}; the gateway's operator gives them to you")
        sys.exit(BAD_CONFIGURATION)
    code = Worker(adapter).run()
    sys.stderr.flush()
    # The threads that wait for the gateway have nothing more to say.
    os._exit(code)
