"""Reads back what the wandb client stored offline: its transaction log, in LevelDB's record format.

The client has no reader of its own any more (it moved into a binary); the messages are its protocol buffers.
"""

import json
import struct

from wandb.proto.wandb_internal_pb2 import Record

HEADER = 7
BLOCK = 32768
FULL, FIRST, MIDDLE, LAST = range(1, 5)


def read_records(path):
    """All messages of a `.wandb` file."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, message = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + HEADER])
        if kind not in (FULL, FIRST, MIDDLE, LAST):
            break
        message += data[place + HEADER : place + HEADER + size]
        place += HEADER + size
        if kind in (FULL, LAST):
            yield Record.FromString(message)
            message = b""


class StoredRun:
    """The one offline run of a run folder that is the n-th there."""

    def __init__(self, run_dir, n=0):
        self.folder = sorted(run_dir.glob("wandb/offline-run-*"))[n]
        (file,) = self.folder.glob("*.wandb")
        self.records = list(read_records(file))
        self.run = next(record.run for record in self.records if record.WhichOneof("record_type") == "run")
        self.config = {update.key: json.loads(update.value_json) for update in self.run.config.update}
        self.alerts = self.of("alert")
        self.artifacts = self.of("artifact")
        self.exit_code = self.of("exit")[-1].exit_code if self.of("exit") else None
        self.history = [
            {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in entry.item}
            for entry in self.of("history")
        ]
        self.summary = {
            "/".join(update.nested_key) or update.key: json.loads(update.value_json)
            for entry in self.of("summary")
            for update in entry.update
        }

    def of(self, kind):
        return [getattr(record, kind) for record in self.records if record.WhichOneof("record_type") == kind]

    def rows(self):
        """Numbers of each epoch, without wandb's own."""
        return [
            {name: value for name, value in entry.items() if not name.startswith("_")}
            for entry in self.history
            if "val/target" in entry
        ]

    def media(self):
        """Files of pictures and pages by name."""
        found = {}
        for entry in self.history:
            for name, value in entry.items():
                if name.endswith("/path"):
                    found.setdefault(name.removesuffix("/path"), []).append(self.folder / "files" / value)
        return found
