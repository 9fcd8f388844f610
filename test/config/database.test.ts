/** The address of a database: what it contains, what is invalid, and that its password is never shown. */
import { describe, expect, test } from "bun:test";
import { parsePostgresUrl } from "../../src/config/postgres-url.ts";
import { inspectIn, soundEnvironment, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

function inspectWith(url: string, set: readonly string[] = []) {
  const environment = { ...soundEnvironment, TS2OTEL_STATE__URL: url };
  return inspectIn(directory, { set: [...soundSettings, ...set], environment });
}

describe("the address of a database", () => {
  test("has hosts, a user, a password, a database and an sslmode", () => {
    expect(parsePostgresUrl("postgresql://me:p%40ss%2Fword@db.example.com/flows?sslmode=verify-full")).toEqual({
      hosts: [{ host: "db.example.com", port: 5432 }],
      user: "me",
      password: "p@ss/word",
      database: "flows",
      sslMode: "verify-full",
    });
    expect(parsePostgresUrl("postgres://me@one.example.com:6432,[2001:db8::1]:5433")).toMatchObject({
      hosts: [
        { host: "one.example.com", port: 6432 },
        { host: "2001:db8::1", port: 5433 },
      ],
      password: "",
      database: "me",
      sslMode: "prefer",
    });
    expect(parsePostgresUrl("postgres://me@/flows?host=/run/postgresql")).toMatchObject({
      hosts: [{ host: "/run/postgresql" }],
    });
  });

  test.each([
    ["mysql://me:hunter2@db.example.com/flows", "is not of the form"],
    ["postgres://me:hunter2@db.example.com:99999/flows", "a host or port of it is invalid"],
    ["postgres://me:hunter2@db.example.com:/flows", "a host or port of it is invalid"],
    ["postgres://me:hunter2@db.example.com,/flows", "a host or port of it is invalid"],
    ["postgres://me:hunter2@/flows", "it names no host"],
    ["postgres://db.example.com/flows", "it names no user"],
    ["postgres://:hunter2@db.example.com/flows", "it names no user"],
    ["postgres://me:hunter2%@db.example.com/flows", "write % as %25"],
    ["postgres://me:hunter2#3@db.example.com/flows", "is not of the form"],
    ["postgres://me:hunter2@3@db.example.com/flows", "is not of the form"],
    [
      "postgres://me:hunter2@db.example.com/flows?sslmode=on",
      'sslmode is "on", and not one of disable, prefer, require, verify-ca, verify-full',
    ],
    ["postgres://me:hunter2@db.example.com/flows?options=-c", 'the parameter "options" is not supported'],
  ])("%s is refused, and its password is not shown", (url, reason) => {
    const { problems } = inspectWith(url);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(reason);
    expect(problems[0]).not.toContain("hunter2");
  });

  test.each([
    ["postgres://me@db.example.com/flows", 1],
    ["postgres://me@127.0.0.1,db.example.com/flows?sslmode=disable", 1],
    ["postgres://me@db.example.com/flows?sslmode=verify-full", 0],
    ["postgres://me@localhost/flows", 0],
    ["postgres://me@/flows?host=/run/postgresql", 0],
  ])("%s has this many warnings about encryption: %d", (url, count) => {
    const { problems, warnings } = inspectWith(url);
    expect(problems).toEqual([]);
    expect(warnings.filter((warning) => warning.includes("not always encrypted"))).toHaveLength(count);
  });

  test("gets a warning if it is given as a flag, like every secret", () => {
    const { warnings } = inspectIn(directory, {
      set: [...soundSettings, "state.url=postgres://me:hunter2@localhost/flows"],
      environment: soundEnvironment,
    });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("state.url_file=PATH");
    expect(warnings[0]).not.toContain("hunter2");
  });

  test("decides which other settings of the state have an effect", () => {
    const without = inspectWith("", ["state.schema=other", "state.lease=5s"]).warnings;
    expect(without.map((warning) => warning.split(":")[0])).toEqual(["state.schema", "state.lease"]);
    const { warnings } = inspectWith("postgres://me@localhost/flows", ["state.durability=normal"]);
    expect(warnings.map((warning) => warning.split(":")[0])).toEqual(["state.durability"]);
  });

  test.each(["", "Flows", "7flows", 'flows"', "a".repeat(49)])("%j is not a valid schema name", (schema) => {
    expect(inspectWith("postgres://me@localhost/flows", [`state.schema=${schema}`]).problems).toHaveLength(1);
  });
});
