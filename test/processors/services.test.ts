/** Tests names of services: IANA's, for transports that have ports. */
import { expect, test } from "bun:test";
import { serviceCode, serviceName } from "../../src/processors/classes.ts";

const nameOf = (protocol: number, port: number): string | undefined => serviceName(serviceCode(protocol, port));

test.each([
  [6, 22, "ssh"],
  [6, 80, "http"],
  [6, 443, "https"],
  [6, 445, "microsoft-ds"],
  [6, 5432, "postgresql"],
  [17, 53, "domain"],
  [17, 123, "ntp"],
  [132, 3868, "diameter"],
  [33, 5004, "avt-profile-1"],
] as const)("protocol %d, port %d is %s", (protocol, port, name) => {
  expect(nameOf(protocol, port)).toBe(name);
});

test.each([
  [6, 0],
  [6, 65_535],
  [17, 41_641],
  [1, 22],
  [0, 443],
  [99, 443],
] as const)("protocol %d, port %d has no name", (protocol, port) => {
  expect(nameOf(protocol, port)).toBeUndefined();
});
