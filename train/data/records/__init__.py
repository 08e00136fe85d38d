"""Data sets in files of records: tar, TFRecord, ArrayRecord, Arrow, Parquet; without TensorFlow.

    pets/train-0000.tar  pets/train-0001.tar  pets/test-0000.tar      the split in the files' names
    pets/train/data-00000-of-00001.arrow      pets/test/...           or in those of folders
    pets/classes.txt                                                  if wanted: a name a line

In reading order: `crc32c` and `example` (what TFRecord files are made of), `index` (where records
lie), `formats` (files by their endings), `split` (files together as a data set).
"""

from train.data.records.split import RecordSplit, load, shards, splits

__all__ = ["RecordSplit", "load", "shards", "splits"]
