import { describe, expect, test } from "bun:test";
import { createSecretCheck, readAuthorization } from "../../src/http/auth.ts";

const read = (header: string | null): string => {
  const credential = readAuthorization(header);
  return typeof credential === "string" ? credential : `secret:${Buffer.from(credential).toString()}`;
};

describe("an Authorization header", () => {
  test.each([
    [null, "absent"],
    ["", "absent"],
    ["  ", "absent"],
    ["Splunk abc", "secret:abc"],
    ["SPLUNK   abc ", "secret:abc"],
    ["Bearer abc", "secret:abc"],
    ["abc", "secret:abc"],
    [`Basic ${btoa("user:abc")}`, "secret:abc"],
    [`basic ${btoa(":abc")}`, "secret:abc"],
    [`Basic ${btoa("user:a:b")}`, "secret:a:b"],
    ["Splunk", "malformed"],
    ["bearer", "malformed"],
    ["Basic", "malformed"],
    ["Basic !!!!", "malformed"],
    [`Basic ${btoa("user")}`, "malformed"],
    [`Basic ${btoa("user:")}`, "malformed"],
    ["Negotiate abc", "malformed"],
    [Buffer.from("Splunk geheim-ü").toString("latin1"), "secret:geheim-ü"],
  ])("%p is %s", (header, expected) => {
    expect(read(header)).toBe(expected);
  });
});

describe("a secret check", () => {
  test("accepts any of its secrets and nothing else", () => {
    const isSecret = createSecretCheck(["one", "", "two"]);
    expect(["one", "two", "", "on", "onee", "three"].map((text) => isSecret(Buffer.from(text)))).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });

  test("accepts nothing without a secret", () => {
    expect(createSecretCheck(["", ""])(Buffer.from(""))).toBe(false);
  });
});
