"""Adapters that are broken on purpose, each in one way: broken.py FAULT. The conformance kit has to find each of them.

They stand on the Python example and take one promise of the contract back.
"""

import os
import pathlib
import signal
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

import adapter  # noqa: E402
import lienthong_adapter as kit  # noqa: E402
from adapter import Hello  # noqa: E402
from google.protobuf.unknown_fields import UnknownFieldSet  # noqa: E402


class Everything(Hello):
    """As Hello, but each hand-over that it makes is a new entry: it relies on the worker's memory."""

    def deliver(self, delivery):
        target = self.out / delivery.id
        aside = self.out / f".again-{delivery.id}"
        if target.exists():
            target.rename(aside)
        try:
            return super().deliver(delivery)
        finally:
            if aside.exists():
                aside.rename(self.out / f"{delivery.id}-{os.urandom(4).hex()}")


def anonymous():
    Hello.name = ""
    return Hello()


class Careless(Hello):
    """As Hello, but any configuration will do."""

    def problems(self, config):
        return []

    def open(self, config):
        if "out" in config:
            super().open(config)

    def collect(self):
        return super().collect() if hasattr(self, "into") else []


def works_with_any_configuration():
    return Careless()


def completes_before_doing():
    """The effect is prepared, Complete is said, and only then the effect is made."""
    prepared = {}

    class Postponed:
        """Stands in for `os` in the adapter."""

        @staticmethod
        def rename(early, target):
            prepared[target.name] = (early, target)

    def do_once(self, delivery):
        return self.journal.get(delivery.id) or self.adapter.deliver(delivery)

    def say_first(self, call, request, delivery):
        SAY(self, call, request, delivery)
        id = request.lease.delivery_id
        if id in prepared:
            os.rename(*prepared.pop(id))
            self.journal.add(id, "x")
    adapter.os = Postponed
    kit.Worker.do_once, kit.Worker.say = do_once, say_first
    return Hello()


def seals_anew():
    def forgetful(self, submission):
        try:
            SEND_ONE(self, submission)
        except kit.grpc.RpcError:
            for path in self.state.glob("sealed-*"):
                path.unlink()
            raise
    kit.Worker.send_one = forgetful
    return Hello()


def does_it_again():
    done = set()

    def do_once(self, delivery):
        if delivery.id in done or self.journal.get(delivery.id) is None:
            reference = self.adapter.deliver(delivery)
            self.journal.add(delivery.id, reference)
            done.add(delivery.id)
            return reference
        return self.journal.get(delivery.id)
    kit.Worker.do_once = do_once
    return Everything()


def notes_before_doing():
    """The memory says done before it is; an exception takes that back, a crash cannot."""
    def do_once(self, delivery):
        reference = self.journal.get(delivery.id)
        if reference is None:
            self.journal.add(delivery.id, "x")
            try:
                reference = self.adapter.deliver(delivery)
            except BaseException:
                del self.journal.done[delivery.id]
                raise
        return reference
    kit.Worker.do_once = do_once
    return Hello()


def forgets_when_it_ends():
    def remember(self, id, reference):
        with self.lock:
            self.done[id] = reference
    kit.Journal.add = remember
    return Everything()


class Deaf(threading.Event):
    """A loss that is told and not heard."""

    def is_set(self):
        return False


def speaks_without_a_lease():
    parse = kit.Delivery.__init__

    def deaf(self, worker, leased):
        parse(self, worker, leased)
        self.lost, self.lease_seconds, self.until = Deaf(), float("inf"), float("inf")
    kit.Delivery.__init__ = deaf
    return Hello()


def swallows_refusals():
    fail = kit.Worker.fail

    def swallow(self, delivery, failed):
        if failed.retryable:
            return fail(self, delivery, failed)
        self.say(self.stub.Complete, kit.wire.CompleteRequest(worker_id=self.id, lease=delivery.lease), delivery)
    kit.Worker.fail = swallow
    return Hello()


def gives_up_at_once():
    fail = kit.Worker.fail

    def give_up(self, delivery, failed):
        final = failed if failed.code.startswith("PART") else kit.Refused(failed.code, failed.detail)
        return fail(self, delivery, final)
    kit.Worker.fail = give_up
    return Hello()


def never_heartbeats():
    kit.Worker.keep_leases = lambda self: None
    return Hello()


def believes_every_byte():
    kit.Worker.check_part = lambda self, part, size, digest: None
    return Hello()


def fears_new_fields():
    parse = kit.Delivery.__init__

    def strict(self, worker, leased):
        if len(UnknownFieldSet(leased)):
            os._exit(1)
        parse(self, worker, leased)
    kit.Delivery.__init__ = strict
    return Hello()


def takes_all_it_gets():
    kit.Worker.room = lambda self: kit.ROOM
    return Hello()


def never_ends():
    kit.Worker.drain = lambda self: None
    return Hello()


def ends_at_once():
    kit.Worker.drain = lambda self: os._exit(0)
    return Hello()


def takes_more_while_it_drains():
    """It ends as soon as nothing is at hand; until then it asks for more."""
    begin = kit.Worker.__init__

    class AtEase(threading.Event):
        def __init__(self, worker):
            super().__init__()
            self.worker = worker

        def is_set(self):
            return super().is_set() and not self.worker.held

    def begin_at_ease(self, adapter):
        begin(self, adapter)
        self.draining = AtEase(self)
    kit.Worker.__init__, kit.WAIT_SECONDS = begin_at_ease, 1
    return Hello()


def speaks_on_two_lines():
    def say(self, call, request, delivery):
        if isinstance(request, kit.wire.FailRequest):
            request.detail += "\n"
        SAY(self, call, request, delivery)
    kit.Worker.say = say
    return Hello()


def tells_everything():
    deliver, problems = Hello.deliver, Hello.problems

    def tell(self, delivery):
        kit.log(f"received {delivery.envelope.document.subject}")
        return deliver(self, delivery)

    def show(self, config):
        kit.log(f"configuration: {config}")
        return problems(self, config)
    Hello.deliver, Hello.problems = tell, show
    return Hello()


def ends_when_the_gateway_is_away():
    def after(self, error, pause):
        if kit.is_unknown(error):
            return self.register()
        os._exit(1)
    kit.Worker.after = after
    return Hello()


SAY, SEND_ONE = kit.Worker.say, kit.Worker.send_one

FAULTS = {name.replace("_", "-"): fault for name, fault in list(globals().items())
          if callable(fault) and getattr(fault, "__module__", "") == "__main__" and name.islower()}

if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print(*sorted(FAULTS), sep="\n")
        sys.exit(0)
    if len(sys.argv) != 2 or sys.argv[1] not in FAULTS:
        print(__doc__, "FAULT is one of:", *sorted(FAULTS), sep="\n", file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    kit.run(FAULTS[sys.argv[1]]())
