// Makes the description of the service readable. Everything comes from openapi.json and is put in as text, never as HTML.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

// Follows a reference within the document.
function resolve(document, value) {
  if (!value?.$ref) return value;
  return value.$ref.split("/").slice(1).reduce((at, name) => at[name], document);
}

function table(heads, rows) {
  const head = element("tr", "", ...heads.map((text) => {
    const cell = element("th", text);
    cell.scope = "col";
    return cell;
  }));
  const lines = rows.map((cells) => element("tr", "", ...cells.map((text) => element("td", text))));
  return element("table", "", element("thead", "", head), element("tbody", "", ...lines));
}

function operation(document, path, method, found) {
  const parts = [element("h2", "", element("code", `${method.toUpperCase()} ${path}`)), element("p", found.summary)];
  if (found.description) parts.push(element("p", found.description));
  if (found.security?.length === 0) parts.push(element("p", "Needs no key."));
  const parameters = (found.parameters ?? []).map((parameter) => resolve(document, parameter));
  if (parameters.length) {
    const values = (schema) => schema.enum?.join(", ") ?? schema.type;
    parts.push(table(["Parameter", "Values", "What it does"], parameters.map((p) => [p.name, values(p.schema), p.description])));
  }
  const answers = Object.entries(found.responses).map(([status, answer]) => [status, resolve(document, answer).description]);
  parts.push(table(["Status", "When"], answers));
  return element("section", "", ...parts);
}

const main = document.getElementById("docs");
const api = await (await fetch("openapi.json")).json();
main.append(element("p", api.info.description), element("p", "Name the key in the header X-API-Key, or as a bearer's token."));
main.append(element("pre", `curl -H 'X-API-Key: KEY' -F file=@SCAN ${location.origin}/api/v0/predict`));
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, found] of Object.entries(methods)) {
    if (method !== "parameters") main.append(operation(api, path, method, found));
  }
}
