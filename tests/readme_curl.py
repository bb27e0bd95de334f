"""The few options of curl that the README uses, for machines without curl: -s, -i, -H, -X, --json, URL."""

from __future__ import annotations

import argparse
import sys

import httpx


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-X", dest="method")
    parser.add_argument("--json")
    options = parser.parse_intermixed_args()
    headers = dict(header.split(": ", 1) for header in options.headers)
    if options.json is not None:
        headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    method = options.method or ("GET" if options.json is None else "POST")
    answer = httpx.request(method, options.url, headers=headers, content=options.json)
    if options.i:
        print(f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}")
        print("".join(f"{name}: {value}\n" for name, value in answer.headers.items()))
    sys.stdout.write(answer.text)


main()
