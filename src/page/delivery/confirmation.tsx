/** Asks before something is done that cannot be undone: what is lost, and whether it shall be. Escape means no. */
import type { JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

export interface ConfirmationProps {
  /** As is `lost`, with the option chosen or without. */
  readonly title: (isChosen: boolean) => string;
  /** Sentences about what is lost. */
  readonly lost: (isChosen: boolean) => readonly string[];
  /** What the button says that does it. */
  readonly action: string;
  /** A further step that has to be wanted explicitly. */
  readonly option?: string | undefined;
  /** Nothing can be done without the option. */
  readonly needsOption?: boolean | undefined;
  readonly onConfirm: (isChosen: boolean) => void;
  /** Always called in the end; focus is back where it was. */
  readonly onClose: () => void;
}

export function Confirmation(props: ConfirmationProps): JSX.Element {
  const { title, lost, action, option, needsOption = false, onConfirm, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [isChosen, setChosen] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={`${id}-title`}
      aria-describedby={`${id}-lost`}
      onClose={onClose}
    >
      <h2 id={`${id}-title`}>{title(isChosen)}</h2>
      <ul id={`${id}-lost`}>
        {lost(isChosen).map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      {option !== undefined && (
        <label class="option">
          <input
            type="checkbox"
            checked={isChosen}
            onChange={({ currentTarget }) => setChosen(currentTarget.checked)}
          />
          {option}
        </label>
      )}
      <div class="buttons">
        <button type="button" autoFocus onClick={() => dialog.current?.close()}>
          Cancel
        </button>
        <button
          type="button"
          class="danger"
          disabled={needsOption && !isChosen}
          onClick={() => {
            onConfirm(isChosen);
            dialog.current?.close();
          }}
        >
          {action}
        </button>
      </div>
    </dialog>
  );
}
