/** Tests that growing columns keep their values and free what they have outgrown. */
import { expect, test } from "bun:test";
import { FlowColumns } from "../../../src/records/flow/columns.ts";

test("columns keep their values when they grow, and free the arrays that they outgrow", () => {
  const columns = new FlowColumns();
  const { txBytes, traffic, startSeconds, firstEntry, ipv6 } = columns;
  for (let record = 0; record < 200; record++) {
    columns.beginRecord();
    columns.startSeconds[record] = record;
    for (let at = 0; at < 10; at++) {
      columns.beginEntry(1);
      columns.txBytes[columns.entries] = columns.entries;
      columns.source[columns.entries++] = columns.addIpv6(1, 2, 3, record);
    }
    columns.endRecord();
  }
  expect([txBytes, traffic, startSeconds, firstEntry, ipv6].map(({ buffer }) => buffer.byteLength)).toEqual(
    Array.from({ length: 5 }, () => 0),
  );
  expect(Array.from(columns.txBytes.subarray(0, 2000))).toEqual(Array.from({ length: 2000 }, (_, entry) => entry));
  expect(Array.from(columns.startSeconds.subarray(0, 200))).toEqual(Array.from({ length: 200 }, (_, record) => record));
  expect([columns.firstEntry[200], columns.ipv6[1999 * 4 + 3]]).toEqual([2000, 199]);
});

test("a record that is taken back leaves no address behind", () => {
  const columns = new FlowColumns();
  const begin = (): void => {
    columns.beginRecord();
    columns.beginEntry(0);
    columns.addressTexts.push("fe80::1%eth0");
    columns.source[columns.entries++] = columns.addIpv6(0xfd7a_115c, 0, 0, 1);
    columns.endRecord();
  };
  begin();
  for (let again = 0; again < 1000; again++) {
    begin();
    columns.takeBack(1);
  }
  const { records, entries, ipv6Addresses, addressTexts } = columns;
  expect([records, entries, ipv6Addresses, addressTexts.length]).toEqual([1, 1, 1, 1]);
});
