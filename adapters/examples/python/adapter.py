"""hello-python: writes each delivery into a folder, and submits each file that is dropped into another."""

import os

from lienthong_adapter import Refused, Submission, folder, new_envelope, run, sync

KEYS = ["out", "in", "sender", "recipient", "seal_certificate", "seal_key"]


class Hello:
    name, version = "hello-python", "1.0.0"
    schema = {"type": "object", "required": KEYS, "properties": {key: {"type": "string"} for key in KEYS}}

    def problems(self, config):
        return [(key, "is missing; write a text") for key in KEYS if not isinstance(config.get(key), str)]

    def open(self, config):
        self.config, self.seal = config, (config["seal_certificate"], config["seal_key"])
        self.out, self.into = folder(config["out"]), folder(config["in"])

    def deliver(self, delivery):
        if delivery.envelope.WhichOneof("content") == "opaque":
            raise Refused("CONTENT_NOT_TAKEN", "this folder takes documents, dossiers and statuses")
        early, target = self.out / f".{delivery.id}", self.out / delivery.id
        if not target.exists():
            delivery.write_into(early)
            delivery.check_lease()
            os.rename(early, target)
            sync(self.out)
        return delivery.id[:8]

    def collect(self):
        for path in sorted(self.into.glob("[!.]*")):
            # A new file under an old name is another letter.
            key = f"{path.name} {path.stat().st_mtime_ns}"
            yield Submission(key, lambda: self.letter(path.read_text(encoding="utf-8")), sent=path.unlink)

    def letter(self, text):
        envelope = new_envelope(self.config["sender"], self.config["recipient"])
        envelope.document.subject = text[:1000]
        return envelope


if __name__ == "__main__":
    run(Hello())
