//! What a host draws its "Add" dialog and pop-up from.

use serde_json::{Value as Json, json};

use crate::identity::cloud;
use crate::identity::request::Protocol;

/// Delegated permissions of Microsoft Graph, by name and GUID (graph-permissions reference).
const PERMISSIONS: [(&str, &str, &str); 6] = [
    ("SMTP.Send", "258f6531-6087-4cc4-bb90-092c5fb3ed3f", "send mail (SMTP)"),
    ("IMAP.AccessAsUser.All", "652390e4-393a-48de-9484-05f9b1212954", "receive jobs via email (IMAP)"),
    ("POP.AccessAsUser.All", "d7b7f2d9-0f45-4ea1-9d42-e50810c06991", "receive jobs via email (POP3)"),
    ("offline_access", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182", "stay connected without signing in again"),
    ("openid", "37f7f235-527c-4136-accd-4a02d197296e", "tell which account signed in"),
    ("profile", "14dad69e-099b-42c9-810b-d002981feec1", "tell which account signed in"),
];

/// The descriptor.
#[must_use]
pub fn descriptor() -> Json {
    let permissions = PERMISSIONS
        .map(|(name, guid, purpose)| json!({"name": name, "guid": guid, "kind": "delegated", "purpose": purpose}));
    json!({
        "kind": "microsoft-exchange-online",
        "display_name": "Microsoft Exchange Online",
        "vendor": "Microsoft",
        "version": env!("CARGO_PKG_VERSION"),
        "fields": [
            {
                "name": "title", "label": "Title", "type": "text", "required": true, "max_length": 256,
                "default": "Microsoft Exchange Online",
                "help": "The name under which this server lists the connection.",
            },
            {
                "name": "client_id", "label": "Client ID", "type": "text", "required": true,
                "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
                "help": "In the Entra admin center, on the Overview page of the app registration: Application (client) ID.",
            },
            {
                "name": "tenant_id", "label": "Tenant ID", "type": "text", "required": true,
                "pattern": "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|([A-Za-z0-9-]+\\.)+[A-Za-z0-9-]+)$",
                "help": "On the same page: Directory (tenant) ID; or a domain of the organisation.",
            },
        ],
        "settings": {"cloud": {"type": "choice", "values": cloud::NAMES, "default": "worldwide"}},
        "serves": [
            {"protocol": Protocol::Smtp, "as": "outgoing SMTP server"},
            {"protocol": Protocol::Imap, "as": "jobs via email"},
            {"protocol": Protocol::Pop3, "as": "jobs via email"},
        ],
        "sign_in": ["device_code"],
        "sign_in_time_s": 900,
        "permissions": permissions,
        "set_up": [
            "In the Entra admin center, open App registrations, New registration; name it, choose \"Accounts in this \
             organizational directory only\", leave the redirect URI empty, press Register.",
            "On the Authentication page, set \"Allow public client flows\" to Yes and save.",
            "On the API permissions page, add the delegated Microsoft Graph permissions listed here and press \"Grant \
             admin consent\".",
            "In the Microsoft 365 admin center, open the mailbox's user, Mail, Manage email apps, and turn on \
             \"Authenticated SMTP\" and, for jobs via email, IMAP or POP.",
            "Copy Application (client) ID and Directory (tenant) ID from the Overview page into this dialog, press OK, \
             and sign in as the mailbox's account with the code that is shown.",
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_that_is_asked_is_described() {
        let descriptor = descriptor();
        let names: Vec<_> = descriptor["permissions"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        for protocol in [Protocol::Smtp, Protocol::Imap, Protocol::Pop3] {
            assert!(names.contains(&&json!(protocol.permission())));
        }
    }
}
