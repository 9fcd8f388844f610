/** The form for the admin token, shown instead of the views while the instance requires one. */
import type { JSX, TargetedSubmitEvent } from "preact";
import { useState } from "preact/hooks";
import { ApiError, signIn, troubleOf } from "./api.ts";

export function SignIn(): JSX.Element {
  const [token, setToken] = useState("");
  const [trouble, setTrouble] = useState<string | undefined>(undefined);
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    try {
      await signIn(token.trim());
    } catch (error) {
      const isWrong = error instanceof ApiError && error.status === 401;
      setTrouble(isWrong ? "That is not the token of this instance." : `${troubleOf(error)}. Try again.`);
    }
  };
  return (
    <form class="panel sign-in" onSubmit={(event) => void submit(event)}>
      <h1>Sign in</h1>
      <label for="token">Admin token</label>
      <input
        id="token"
        type="password"
        autoComplete="current-password"
        required
        autoFocus
        value={token}
        aria-describedby="token-help"
        onInput={({ currentTarget }) => setToken(currentTarget.value)}
      />
      <p id="token-help" class="note">
        It is the setting <code>admin.token</code> of the instance. This browser keeps a cookie, not the token.
      </p>
      <p role="alert" class="trouble">
        {trouble}
      </p>
      <button type="submit" class="primary">
        Sign in
      </button>
    </form>
  );
}
