"""Math benchmarks, one file each."""
