#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Data flows one way; tests/style/layers.txt says who may include whom.
. "$(dirname "$0")/../tap.sh"

mapfile -t files < <(source_files 'lib/*.[ch]')
expect_silence "includes and calls of ${#files[@]} files keep to their layers" \
	awk -f tests/style/layers.awk tests/style/layers.txt "${files[@]}"
finish
