# Prints the entries of a hashed requirements file for the packages in `names` (separated by spaces).
# usage: awk -v names="chdb pandas" -f lock-subset.awk requirements-dev.lock
/^[a-z0-9]/ { split($1, parts, "=="); keep = index(" " names " ", " " parts[1] " ") }
keep
