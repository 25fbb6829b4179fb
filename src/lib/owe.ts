/** Takes over what could not be removed now, and why: `remove` is called again until it resolves. */
export type Owe = (id: string, remove: () => Promise<void>, error: unknown) => void;

/** Removes, or owes it and throws why. */
export async function removeOrOwe(owe: Owe, id: string, remove: () => Promise<void>): Promise<void> {
  try {
    await remove();
  } catch (error) {
    owe(id, remove, error);
    throw error;
  }
}
