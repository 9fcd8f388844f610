/** An event in words, as a line of the list shows it. All of it comes from records, so it may be any text. */
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { type EventWords, eventWords } from "../../catalogue/event-words.ts";
import { eventText } from "../../screen/event-text.ts";

/** Who did what to whom, cut to the length of a line. Of a connection, `what` says all of it. */
export function wordsOf(event: AcceptedEvent): Omit<EventWords, "failure"> {
  const { actor, what, target, failure } = eventWords(event);
  const whole = event.type === "flow" ? eventText(event) : [what, failure].filter(Boolean).join(", ");
  return { actor, what: cut(whole, whatCharacters), target: cut(target, targetCharacters) };
}

const whatCharacters = 300;
const targetCharacters = 100;

/** For a line of a list; the details have all of it. */
function cut(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters).toWellFormed()}…`;
}
