import { setFlagsFromString } from "node:v8";

/**
 * Lets the heap stay small at some cost in speed, and shrink again after work. Called before most of the program is loaded.
 *
 * V8 sizes its heap for programs that work all the time and keeps what it once took; the daemon works for less than a
 * second every few hours. For so little work the optimizing compiler costs more memory than anything else, and brings nothing.
 */
export function keepHeapSmall(): void {
  setFlagsFromString("--optimize-for-size");
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--no-opt");
}
