#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The public age test vectors, as the npm package cctv-age carries them. Skipped where there is no npm or no network.
set -u
for tool in npm node tar; do
	command -v "$tool" >/dev/null || { echo "no $tool: skipped"; exit 77; }
done
runner=${TOP_BUILDDIR:-.}/tests/interop/age_vectors
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

(cd "$dir" && timeout 120 npm pack --silent cctv-age@0.2.0 >/dev/null 2>"$dir/npm.log" && tar xzf cctv-age-*.tgz) ||
	{ echo "the package cctv-age cannot be had: skipped"; exit 77; }
mkdir "$dir/vectors"
# The package is a module of byte arrays. Compressed files are inflated here, so that the runner needs no zlib.
cat >"$dir/extract.mjs" <<'SCRIPT'
import * as vectors from "./package/index.js";
import { writeFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
const all = vectors.default && typeof vectors.default === "object" ? vectors.default : vectors;
for (const [name, bytes] of Object.entries(all)) {
	let data = Buffer.from(bytes);
	const end = data.indexOf("\n\n") + 2;
	const head = data.subarray(0, end);
	if (head.toString().includes("compressed: zlib"))
		data = Buffer.concat([head, inflateSync(data.subarray(end))]);
	writeFileSync(`vectors/${name.replace(/[^A-Za-z0-9_.-]/g, "_")}`, data);
}
SCRIPT
(cd "$dir" && node extract.mjs) || { echo "the vectors cannot be extracted"; exit 1; }
"$runner" "$dir/vectors"
