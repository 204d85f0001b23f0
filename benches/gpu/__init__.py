"""Everything that is measured on a GPU, in one run of eight minutes: `python -m benches.gpu`."""
