/** Words an event for one line of the list; all of it comes from records, so it may be any text. */
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { type EventWords, eventWords } from "../../catalogue/event-words.ts";
import { eventText } from "../../screen/event-text.ts";

/** Who did what to whom, cut to fit a line. For a connection, `what` says everything. */
export function wordsOf(event: AcceptedEvent): Omit<EventWords, "failure"> {
  const { actor, what, target, failure } = eventWords(event);
  const whole = event.type === "flow" ? eventText(event) : [what, failure].filter(Boolean).join(", ");
  return { actor, what: cut(whole, whatCharacters), target: cut(target, targetCharacters) };
}

const whatCharacters = 300;
const targetCharacters = 100;

/** Cuts a text for a line of the list; the details show all of it. */
function cut(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, characters).toWellFormed()}…`;
}
