"""Math problem sets, one file each."""
