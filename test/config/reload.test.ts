import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { keysThatWait, secretFilesOf } from "../../src/config/index.ts";
import { inspectIn, soundEnvironment, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

function configWith(...set: string[]) {
  const { config, problems } = inspectIn(directory, { set: [...soundSettings, ...set], environment: soundEnvironment });
  expect(problems).toEqual([]);
  return config;
}

describe("a restart is needed", () => {
  test("for nothing, where nothing has changed", () => {
    expect(keysThatWait(configWith(), configWith())).toEqual([]);
  });

  test("not for the log level, tokens and other certificates", () => {
    const pair = (name: string): string[] => [`streaming.tls.cert_file=${name}`, `streaming.tls.key_file=${name}`];
    const started = configWith(...pair("/dev/null"));
    const next = configWith(
      ...pair("/dev/zero"),
      "otlp.tls.ca_file=/dev/null",
      "log_level=debug",
      "streaming.token_previous=old-token",
    );
    expect(keysThatWait(started, next)).toEqual([]);
  });

  test("between plain HTTP and TLS", () => {
    const next = configWith("streaming.tls.cert_file=/dev/null", "streaming.tls.key_file=/dev/null");
    expect(keysThatWait(configWith(), next)).toEqual(["streaming.tls.cert_file", "streaming.tls.key_file"]);
  });

  test("for everything else", () => {
    expect(keysThatWait(configWith(), configWith("streaming.listen=:1", "otlp.timeout=1s"))).toEqual([
      "streaming.listen",
      "otlp.timeout",
    ]);
  });
});

test("the files of secrets are known, each once", () => {
  const file = join(directory, "secret");
  writeFileSync(file, "s3cr3t");
  const environment = { TS2OTEL_STREAMING__TOKEN_FILE: file, TS2OTEL_STREAMING__TOKEN_PREVIOUS_FILE: file };
  expect(secretFilesOf(inspectIn(directory, { set: soundSettings, environment }))).toEqual([file]);
  expect(secretFilesOf(inspectIn(directory, { set: soundSettings, environment: soundEnvironment }))).toEqual([]);
  const set = [...soundSettings, `otlp.tls.ca_file=${file}`];
  expect(secretFilesOf(inspectIn(directory, { set, environment: soundEnvironment }))).toEqual([file]);
});
