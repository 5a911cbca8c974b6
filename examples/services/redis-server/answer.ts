/** Finds the command that a request names, and returns the answers of that command. */
import type { Client } from './client.js';
import { commands } from './commands.js';
import type { Request } from './requests.js';
import { ErrorReply, type Value } from './resp.js';

const whileSubscribed = new Set(['subscribe', 'unsubscribe', 'ping', 'quit', 'reset']);

// #region answer
/**
 * Returns the answers to a request. An empty line has no answer. A command about several channels has several answers.
 */
export function answer(client: Client, [word, ...words]: Request): Iterable<Value> {
  if (word === undefined) return [];
  client.service.answered++;
  const name = word.toString('latin1').toLowerCase();
  const command = commands.get(name);
  try {
    if (command === undefined) throw unknown(word, words);
    const [least, most] = command.words;
    if (words.length < least || words.length > most) {
      throw new ErrorReply(`ERR wrong number of arguments for '${name}' command`);
    }
    if (client.isSubscribed && !whileSubscribed.has(name)) throw unfit(name);
    return 'values' in command ? command.values(client, ...words) : [command.value(client, ...words)];
  } catch (error) {
    if (error instanceof ErrorReply) return [error];
    throw error;
  }
}
// #endregion

function unknown(word: Buffer, words: readonly Buffer[]): ErrorReply {
  let beginning = '';
  for (const argument of words) if (beginning.length < 128) beginning += `'${shown(argument)}' `;
  return new ErrorReply(`ERR unknown command '${shown(word)}', with args beginning with: ${beginning}`);
}

function unfit(name: string): ErrorReply {
  const allowed = '(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET';
  return new ErrorReply(`ERR Can't execute '${name}': only ${allowed} are allowed in this context`);
}

/**
 * Returns the beginning of a word. Replaces control characters with spaces, because the line of an error cannot contain
 * a line end.
 */
function shown(word: Buffer): string {
  return word.toString('utf8', 0, 128).replace(/\p{Cc}/gu, ' ');
}
