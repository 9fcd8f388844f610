import { describe, expect, test } from "bun:test";
import { createSecretCheck, isFromBrowser, readAuthorization } from "../../src/http/auth.ts";
import type { Exchange } from "../../src/http/exchange.ts";

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
    [`Basic ${btoa("user:abc")}!`, "malformed"],
    [`Basic ${btoa("user:abcd")} more`, "malformed"],
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

describe("where no secret is required, a web page is recognized by", () => {
  test.each<[Record<string, string>, "loopback" | "any address", boolean, string]>([
    [{ host: "127.0.0.1:8088" }, "loopback", false, "nothing: a program"],
    [{ host: "node.example.com" }, "any address", false, "no name, if others reach the listener"],
    [{ host: "node.example.com" }, "loopback", true, "a name that is not this machine's"],
    [{ host: "logs.tail1234.ts.net" }, "loopback", false, "no name that is the proxy's"],
    [
      { host: "LOGS.tail1234.ts.net:443" },
      "loopback",
      false,
      "no name that is the proxy's, in capitals and with its port",
    ],
    [{ host: "127.0.0.1:8088", origin: "http://127.0.0.1:8088" }, "loopback", true, "any origin"],
    [{ host: "node.example.com", "sec-fetch-site": "cross-site" }, "any address", true, "the site that it belongs to"],
  ])("%j, on %s: %p (%s)", (headers, on, expected) => {
    const exchange = { request: { headers: new Headers(headers) }, isLocalOnly: on === "loopback" };
    expect(isFromBrowser(exchange as unknown as Exchange, "https://logs.tail1234.ts.net/services")).toBe(expected);
  });

  test("a host name that is not this machine's, on loopback without a proxy", () => {
    const exchange = { request: { headers: new Headers({ host: "logs.example.com" }) }, isLocalOnly: true };
    expect(isFromBrowser(exchange as unknown as Exchange, "")).toBe(true);
  });
});
