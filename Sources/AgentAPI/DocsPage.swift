import AgentService
import Crypto
import FoundationEssentials
import HTTPMessage
import HTTPTypes
import StrictJSON

/// The description of the API as one page to read, without scripts or anything from elsewhere.
enum DocsPage {
    /// The page, and a policy that lets only its own style apply.
    static let response: Response = {
        let hash = Data(SHA256.hash(data: Data(style.utf8))).base64EncodedString()
        return Response(
            status: .ok,
            fields: [
                .contentType: "text/html; charset=utf-8",
                .contentSecurityPolicy: "default-src 'none'; style-src 'sha256-\(hash)'; frame-ancestors 'none'",
            ],
            body: .init(Array(page(of: OpenAPI.document(of: Route.described)).utf8)))
    }()

    private static func page(of document: JSON) -> String {
        let info = document["info"]
        let tags = document["tags"]?.array ?? []
        let contents =
            tags.map { link("#\(text($0["name"]))", text($0["name"])) } + [
                link("#errors", "errors"), link("#schemas", "schemas"), link("/openapi.json", "openapi.json"),
            ]
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>proxmox-agent: API</title><style>\(style)</style></head><body>
            <header><h1>proxmox-agent</h1><p>\(prose(info?["summary"]))</p><nav>\(contents.joined(separator: " "))</nav></header>
            <main><p>\(prose(info?["description"]))</p>
            \(tags.map { section($0, of: document) }.joined(separator: "\n"))
            <h2 id="errors">Errors</h2><dl>\(ErrorCode.allCases.map(entry).joined())</dl>
            <h2 id="schemas">Schemas</h2>
            \((document["components"]?["schemas"]?.object?.members ?? []).map(schema).joined(separator: "\n"))
            </main></body></html>

            """
    }

    // MARK: Routes

    private static func section(_ tag: JSON, of document: JSON) -> String {
        let name = text(tag["name"])
        let routes = (document["paths"]?.object?.members ?? []).flatMap { path in
            (path.value.object?.members ?? []).filter { $0.value["tags"] == [.string(name)] }.map {
                route($0.key.uppercased(), path.key, $0.value, path.value["parameters"]?.array ?? [])
            }
        }
        return "<h2 id=\"\(name)\">\(name)</h2><p>\(prose(tag["description"]))</p>\n" + routes.joined(separator: "\n")
    }

    private static func route(_ method: String, _ path: String, _ operation: JSON, _ shared: [JSON]) -> String {
        let parameters = (shared + (operation["parameters"]?.array ?? [])).filter { $0["name"] != nil }.map {
            parameter in
            let name = text(parameter["name"]) + (parameter["required"] == true ? " *" : "")
            return "<tr><td><code>\(name)</code><td>\(text(parameter["in"]))<td>\(type(parameter["schema"]))"
                + "<td>\(prose(parameter["description"]))</tr>"
        }
        let answers = (operation["responses"]?.object?.members ?? []).map { answer in
            let schema = answer.value["content"]?.object?.members.first?.value["schema"]
            return "<tr><td><code>\(answer.key)</code><td>\(type(schema))<td>\(prose(answer.value["description"]))</tr>"
        }
        let body = operation["requestBody"]?["content"]?["application/json"]?["schema"]
        return """
            <section id="\(text(operation["operationId"]))"><h3><code>\(method) \(escaped(path))</code> \(prose(operation["summary"]))</h3>
            <p>\(prose(operation["description"]))</p>
            \(body.map { "<p>Body: \(type($0))</p>" } ?? "")
            \(parameters.isEmpty ? "" : "<table><thead><tr><th>parameter<th>in<th>form<th>meaning</thead>\(parameters.joined())</table>")
            <details><summary>Answers</summary><table>\(answers.joined())</table></details></section>
            """
    }

    // MARK: Errors and schemas

    /// The place that the `type` of a problem document names.
    private static func entry(_ code: ErrorCode) -> String {
        "<dt id=\"\(code.rawValue)\"><code>\(code.rawValue)</code> \(Problem.status(of: code).code)"
            + "<dd>\(escaped(Problem.title(of: code)))."
    }

    private static func schema(_ member: JSONObject.Member) -> String {
        let form = member.value
        let required = form["required"]?.array ?? []
        let rows = (form["properties"]?.object?.members ?? []).map { property in
            let mark = required.contains(.string(property.key)) ? " *" : ""
            let inner = property.key == "params" ? parameters(property.value) : ""
            return "<tr><td><code>\(property.key)\(mark)</code><td>\(type(property.value))"
                + "<td>\(prose(property.value["description"]))\(inner)</tr>"
        }
        let choices = (form["oneOf"]?.array ?? form["anyOf"]?.array ?? []).map { type($0) }
        return """
            <details id="schema-\(member.key)"><summary><code>\(member.key)</code> \(prose(form["description"]))</summary>
            \(choices.isEmpty ? "" : "<p>One of \(choices.joined(separator: ", "))</p>")
            <table>\(rows.joined())</table></details>
            """
    }

    /// The parameters of an action.
    private static func parameters(_ form: JSON) -> String {
        let required = form["required"]?.array ?? []
        let single = form["properties"]?.object?.members ?? []
        let families = form["patternProperties"]?.object?.members ?? []
        let rows = (single + families).map { property in
            let mark = required.contains(.string(property.key)) ? " *" : ""
            return "<tr><td><code>\(escaped(property.key))\(mark)</code><td>\(type(property.value))"
                + "<td>\(prose(property.value["description"]))</tr>"
        }
        return rows.isEmpty ? "" : "<table>\(rows.joined())</table>"
    }

    /// What values of a schema look like, in a few words.
    private static func type(_ schema: JSON?) -> String {
        guard let schema else { return "" }
        if let name = schema["$ref"]?.string?.split(separator: "/").last {
            return link("#schema-\(name)", String(name))
        }
        if let words = schema["enum"]?.array { return words.map { "<code>\(text($0))</code>" }.joined(separator: " ") }
        if let word = schema["const"] { return "<code>\(text(word))</code>" }
        if let choices = schema["anyOf"]?.array { return choices.map { type($0) }.joined(separator: " or ") }
        let types = schema["type"]?.array?.compactMap(\.string) ?? schema["type"]?.string.map { [$0] } ?? ["any"]
        let bounds = [("minimum", "from "), ("maximum", "to "), ("maxLength", "up to ")].compactMap { key, word in
            schema[key].map { word + $0.text }
        }
        let items = schema["items"].map { " of \(type($0))" } ?? ""
        return types.joined(separator: " or ") + items + bounds.map { " " + $0 }.joined()
    }

    // MARK: Text

    private static func text(_ value: JSON?) -> String { escaped(value?.string ?? "") }

    private static func link(_ target: String, _ text: String) -> String {
        "<a href=\"\(target)\">\(escaped(text))</a>"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;")
    }

    /// Text with code between backticks.
    private static func prose(_ value: JSON?) -> String {
        text(value).split(separator: "`", omittingEmptySubsequences: false).enumerated().map { index, part in
            index.isMultiple(of: 2) ? String(part) : "<code>\(part)</code>"
        }.joined()
    }

    private static let style = """
        :root{color-scheme:light dark;--line:#8884;--soft:#8881}
        body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:0 1rem 4rem}
        header{padding-top:1rem}nav a{margin-right:.75rem}h1{margin:0}
        h2{margin-top:3rem;border-bottom:1px solid var(--line);text-transform:capitalize}
        h3{font-weight:400;margin:0}h3 code{font-weight:700}
        section{border:1px solid var(--line);border-radius:.5rem;margin:1rem 0;padding:.75rem 1rem;overflow-x:auto}
        p:empty{display:none}table{border-collapse:collapse;width:100%;margin:.5rem 0}
        td,th{border-top:1px solid var(--line);padding:.25rem .5rem;text-align:left;vertical-align:top}
        thead th{border:0;font-weight:400;opacity:.7}code{background:var(--soft);border-radius:.2rem;padding:0 .2rem}
        details{margin:.25rem 0;overflow-x:auto}summary{cursor:pointer}dd{margin:0 0 .5rem 1.5rem}
        """
}
