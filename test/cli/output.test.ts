import { expect, test } from "vitest";
import { formatTable, printableText, toJsonLine } from "../../src/cli/output.ts";

test("ids are printed as JSON strings, for JSON's numbers end at 2^53", () => {
  expect(toJsonLine({ runIds: [13435957246453124737n], left: undefined })).toBe(
    '{"runIds":["13435957246453124737"]}',
  );
});

test("columns are aligned and lines have no blanks at their ends", () => {
  expect(
    formatTable([
      ["RUN", "STATUS"],
      ["12345", "ok"],
    ]),
  ).toBe("RUN    STATUS\n12345  ok");
});

test("text of an app cannot make rows of its own", () => {
  expect(
    formatTable([
      ["RUN", "DETAILS"],
      ["1", "boom\n2  finished:\tcompleted"],
    ]),
  ).toBe("RUN  DETAILS\n1    boom\\x0a2  finished:\\x09completed");
});

test("text of an app cannot move the terminal's cursor", () => {
  expect(printableText("a\u001b[2Jb\r\n\tc\u009b")).toBe("a\\x1b[2Jb\\x0d\n\tc\\x9b");
  const line = toJsonLine({ details: "a\u001b\u007f\u009bb" });
  expect(line).toBe('{"details":"a\\u001b\\u007f\\u009bb"}');
  expect(JSON.parse(line)).toEqual({ details: "a\u001b\u007f\u009bb" });
});
