"""Banks of synthetic features in HDF5: written by many processes, read in any order.

`docs/bank.md` describes the files. `writer.write_bank` writes, `reader.BankReader` reads.
"""
