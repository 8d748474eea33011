#!/bin/sh
# The same as weekly.py with the command line:
#   sh weekly.sh plan        show what would be done, as a table in Markdown
#   sh weekly.sh apply       do it, except for deletions
#   sh weekly.sh apply 2     also delete, if it is not more than two
set -eu
cd "$(dirname "$0")"
state=${FLEET_STATE:-plivo-fleet.db}

if [ "$1" = plan ]; then
  exec plivo-endpoints provision plan users.csv --state "$state" --markdown
fi

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
# 3: some rows need a person. The others are done nevertheless, and the run ends with 3 too.
plivo-endpoints provision plan users.csv --state "$state" --out "$folder/plan.json" || [ $? -eq 3 ]
if [ "${2:-0}" -gt 0 ]; then
  set -- --delete --delete-limit "$2"
else
  set --
fi
# The run refuses to start if the file or the account has changed since the plan.
plivo-endpoints provision apply users.csv --state "$state" --plan "$folder/plan.json" "$@"
