import { describe, expect, test } from "bun:test";
import { createByteBudget } from "../../src/http/byte-budget.ts";
import { createSlots } from "../../src/http/slots.ts";

describe("slots", () => {
  test("are given in order of arrival, and never more than there are", async () => {
    const slots = createSlots(2);
    const first = slots.tryTake();
    const second = await slots.take(1000);
    expect(slots.tryTake()).toBeUndefined();
    const order: string[] = [];
    const third = slots.take(10_000).then((release) => (order.push("third"), release));
    const fourth = slots.take(10_000).then((release) => (order.push("fourth"), release));
    expect(slots.waiting).toBe(2);
    second?.();
    (await third)?.();
    (await fourth)?.();
    first?.();
    expect(order).toEqual(["third", "fourth"]);
    expect(slots).toMatchObject({ taken: 0, waiting: 0 });
  });

  test("are not given to those whose time is over", async () => {
    const slots = createSlots(1);
    const held = slots.tryTake();
    expect(await slots.take(5)).toBeUndefined();
    expect(await slots.take(0)).toBeUndefined();
    expect(slots.waiting).toBe(0);
    held?.();
    expect(slots.taken).toBe(0);
  });

  test("are given back once, however often it is said", () => {
    const slots = createSlots(2);
    const first = slots.tryTake();
    slots.tryTake();
    first?.();
    first?.();
    expect(slots.taken).toBe(1);
  });
});

describe("a byte budget", () => {
  test("tells who cannot have bytes now from who never can", () => {
    const budget = createByteBudget(100);
    const one = budget.open();
    const other = budget.open();
    expect(one.grow(60)).toBe("ok");
    expect(other.grow(60)).toBe("full");
    expect(other.grow(101)).toBe("impossible");
    expect(one.grow(41)).toBe("impossible");
    expect(one.grow(40)).toBe("ok");
    expect(budget.bytes).toBe(100);
    one.release();
    one.release();
    expect(budget.bytes).toBe(0);
    expect(other.grow(60)).toBe("ok");
  });
});
