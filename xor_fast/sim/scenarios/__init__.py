"""What an overlay is put through on a stage, and what each scenario claims: `xor-fast sim list`."""
