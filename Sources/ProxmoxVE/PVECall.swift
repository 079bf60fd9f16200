import AgentModel

/// One parameter of an API call, its value in Proxmox VE's form.
package struct PVEParameter: Sendable, Hashable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// `1` or `0`: Proxmox VE refuses `true` and `false`.
    package init(_ name: String, _ value: Bool) { self.init(name, value ? "1" : "0") }

    package init(_ name: String, _ value: some BinaryInteger) { self.init(name, "\(value)") }
}

/// One call of the Proxmox VE API, without its destination and its token.
package struct PVECall: Sendable, Hashable {
    package enum Method: String, Sendable, Hashable {
        case get = "GET"
        case post = "POST"
        case put = "PUT"
        case delete = "DELETE"
    }

    package let method: Method
    package let path: PVEPath
    /// In the order in which they are sent.
    package let parameters: [PVEParameter]

    package init(_ method: Method, _ path: PVEPath, _ parameters: [PVEParameter] = []) {
        self.method = method
        self.path = path
        self.parameters = parameters
    }

    /// The path, with the parameters of a GET or DELETE as its query: Proxmox VE answers 501 to these with a body.
    var target: String {
        switch method {
        case .get, .delete: parameters.isEmpty ? path.encoded : path.encoded + "?" + encodedParameters
        case .post, .put: path.encoded
        }
    }

    /// The parameters of POST and PUT as `application/x-www-form-urlencoded`.
    var form: [UInt8]? {
        switch method {
        case .get, .delete: nil
        case .post, .put: Array(encodedParameters.utf8)
        }
    }

    private var encodedParameters: String {
        parameters.map { "\($0.name.percentEncoded)=\($0.value.percentEncoded)" }.joined(separator: "&")
    }
}
