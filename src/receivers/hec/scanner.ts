/** Finds where a JSON value ends by counting brackets outside strings. It looks for the end only: parsing is the judge. */
import { Refusal } from "../../errors.ts";

/**
 * Objects and arrays in one value. A body of real records at its limit has 600,000; three bytes of text each, they would
 * take twenty times that in memory before anything could count the records.
 */
export const maxNested = 2_500_000;

export interface ValueScanner {
  /**
   * Where the value ends in this piece of text, counted from its beginning: the value begins at `start`, or goes on there
   * when an earlier piece did not hold its end. Nothing when it goes on in the next piece.
   * @throws {Refusal} `too_large` for a value with more objects and arrays than `maxNested`.
   */
  end(piece: string, start: number): number | undefined;
}

/** A scanner for one value: an object, an array, a string or anything else that ends before white space or punctuation. */
export function createValueScanner(): ValueScanner {
  let kind: "unknown" | "nested" | "scalar" = "unknown";
  let depth = 0;
  let isInString = false;
  let isEscaped = false;
  let nested = 0;

  function endOfNested(piece: string, start: number): number | undefined {
    for (let at = start; at < piece.length; at++) {
      const code = piece.charCodeAt(at);
      if (isInString) {
        if (isEscaped) isEscaped = false;
        else if (code === backslash) isEscaped = true;
        else if (code === quote) {
          isInString = false;
          if (depth === 0) return at + 1;
        }
      } else if (code === quote) isInString = true;
      else if (code === openBrace || code === openBracket) {
        depth++;
        if (++nested > maxNested) throw new Refusal("too_large", tooManyNested);
      } else if ((code === closeBrace || code === closeBracket) && --depth === 0) return at + 1;
    }
    return undefined;
  }

  return {
    end(piece, start) {
      if (kind === "unknown") kind = '{["'.includes(piece.charAt(start)) ? "nested" : "scalar";
      return kind === "nested" ? endOfNested(piece, start) : endOfScalar(piece, start);
    },
  };
}

const tooManyNested = `More than ${maxNested} objects and arrays in one value (no setting changes this limit)`;

/** The first place at or after `start` that is no JSON white space. */
export function skipSpace(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
  }
  return at;
}

function endOfScalar(piece: string, start: number): number | undefined {
  for (let at = start; at < piece.length; at++) if (",] \t\r\n".includes(piece.charAt(at))) return at;
  return undefined;
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
