"""The bytes of the event files in tests/cli/report.c, as tensorboard's own messages and record writer make them, and what its own reader
reads of files that rnetc wrote.

    python tensorboard_events.py                  prints the bytes of the two files as hexadecimal digits
    python tensorboard_events.py FOLDER/SPLIT     reads the files in a folder: tag, step, value
"""
import io
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


class Kept(io.BytesIO):
    def close(self):
        pass


def events(*rows):
    out = Kept()
    writer = RecordWriter(out)
    writer.write(event_pb2.Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
    for seconds, step, values in rows:
        summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=t, simple_value=v) for t, v in values])
        writer.write(event_pb2.Event(wall_time=seconds, step=step, summary=summary).SerializeToString())
    writer.flush()
    return out.getvalue()


if len(sys.argv) > 1:
    read = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
    read.Reload()
    for tag in read.Tags()["scalars"]:
        for event in read.Scalars(tag):
            print(tag, event.step, event.value)
else:
    print("train", events((0.25, 1, [("loss", 0.75), ("seconds", 0.25)]),
                          (0.75, 300, [("loss", float("inf")), ("seconds", 0.5)])).hex())
    print("test", events((0.75, 300, [("error", 0.125)])).hex())
