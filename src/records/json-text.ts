/**
 * Cuts a JSON text into the texts of its members or elements, so that a part can be kept as it was received.
 * The text must be known to be valid JSON: these functions look for ends, they do not check.
 */

/** The text of the last member of that name in an object's text (as `JSON.parse` takes it), or nothing. */
export function memberText(objectText: string, name: string): string | undefined {
  let found: string | undefined;
  for (const [member, value] of members(objectText)) if (member === name) found = value;
  return found;
}

/** The texts of an array's elements, in order. */
export function elementTexts(arrayText: string): string[] {
  const texts: string[] = [];
  let at = skipSpace(arrayText, arrayText.indexOf("[") + 1);
  while (arrayText[at] !== "]" && at < arrayText.length) {
    const end = endOfValue(arrayText, at);
    texts.push(arrayText.slice(at, end));
    at = skipSpace(arrayText, end);
    if (arrayText[at] === ",") at = skipSpace(arrayText, at + 1);
  }
  return texts;
}

/** The same JSON without line breaks. A raw one in valid JSON is white space: inside a string it would have to be escaped. */
export function oneLine(text: string): string {
  return text.includes("\n") || text.includes("\r") ? text.replaceAll(/[\r\n]/g, " ") : text;
}

function* members(objectText: string): Generator<readonly [name: string, value: string]> {
  let at = skipSpace(objectText, objectText.indexOf("{") + 1);
  while (objectText[at] === '"') {
    const keyEnd = endOfString(objectText, at);
    const valueStart = skipSpace(objectText, objectText.indexOf(":", keyEnd) + 1);
    const valueEnd = endOfValue(objectText, valueStart);
    yield [JSON.parse(objectText.slice(at, keyEnd)) as string, objectText.slice(valueStart, valueEnd)];
    at = skipSpace(objectText, valueEnd);
    if (objectText[at] === ",") at = skipSpace(objectText, at + 1);
  }
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === quote) return endOfString(text, start);
  if (first !== openBrace && first !== openBracket) return endOfScalar(text, start);
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) at = endOfString(text, at) - 1;
    else if (code === openBrace || code === openBracket) depth++;
    else if ((code === closeBrace || code === closeBracket) && --depth === 0) return at + 1;
  }
  return text.length;
}

/** `start` is at the opening quote; the end is past the closing one. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const end = text.indexOf('"', at);
    if (end < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === backslash) backslashes++;
    if (backslashes % 2 === 0) return end + 1;
    at = end + 1;
  }
  return text.length;
}

function endOfScalar(text: string, start: number): number {
  let at = start;
  while (at < text.length && !",]} \t\r\n".includes(text.charAt(at))) at++;
  return at;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && " \t\r\n".includes(text.charAt(at))) at++;
  return at;
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
