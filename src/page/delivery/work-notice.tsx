/** How a retry or a deletion goes, and what came of it; read out when it is done. */
import type { JSX } from "preact";
import { dismissWork, stopWork, work } from "./quarantine-work.ts";
import { visible } from "../record-text.ts";

export function WorkNotice(): JSX.Element {
  const now = work.value;
  return (
    <div class="work">
      {now?.isRunning === true && (
        <p class="note">
          <progress aria-label="In progress" /> {now.text}{" "}
          <button type="button" onClick={stopWork}>
            Stop
          </button>
        </p>
      )}
      {/* It is there before it says something, or nobody would hear it. */}
      <div role="status">{now?.isRunning === false && <Result />}</div>
    </div>
  );
}

function Result(): JSX.Element {
  const { text = "", kept = [], trouble } = work.value ?? {};
  return (
    <>
      <p class="result">
        {text}
        {trouble === undefined ? "." : `. Ended: ${visible(trouble)}`}{" "}
        <button type="button" onClick={dismissWork}>
          Dismiss
        </button>
      </p>
      {kept.length > 0 && (
        <ul>
          {kept.map(({ id, why }) => (
            <li key={id}>
              {id} stays in quarantine: {visible(why)}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
