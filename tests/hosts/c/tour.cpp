// The tour in C++11: the main job in short, without callbacks, everything pulled. What it reads from the environment and
// prints: see ../run. For each step looked at one by one see host.c.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include "myq_exchange_online.h"
#include "person.h"

namespace {

// Frees a handle when it goes out of scope; `&handle` is where the library puts it.
template <typename T, void (*release)(T *)>
class Owned {
public:
    Owned() = default;
    Owned(const Owned &) = delete;
    Owned &operator=(const Owned &) = delete;
    ~Owned() { release(handle); }
    operator T *() const { return handle; }
    T **operator&() { return &handle; }

private:
    T *handle = nullptr;
};

using Connector = Owned<mxo_connector, mxo_connector_close>;
using DeviceCode = Owned<mxo_device_code, mxo_device_code_free>;
using Events = Owned<mxo_events, mxo_events_close>;
using Mail = Owned<mxo_mail, mxo_mail_free>;
using Operation = Owned<mxo_operation, mxo_operation_free>;
using Text = Owned<char, mxo_string_free>;
using Value = Owned<mxo_value, mxo_value_free>;

std::string text(const char *maybe) { return maybe ? maybe : "-"; }

const char *setting(const char *name) {
    const char *value = std::getenv(name);
    return value && *value ? value : nullptr;
}

// Takes the error object of each call, and throws what it says.
class Check {
public:
    operator mxo_error **() {
        mxo_error_free(error);
        error = nullptr;
        return &error;
    }
    // A time-out is for the caller to judge, and so is a mail that not every recipient may have.
    mxo_status operator()(mxo_status status) {
        if (status >= 0)
            return status;
        throw std::runtime_error(text(mxo_status_name(status)) + ": " + text(mxo_error_message(error)) + " | " +
                                 text(mxo_error_remedy(error)));
    }
    ~Check() { mxo_error_free(error); }

private:
    mxo_error *error = nullptr;
};

void sign_in(mxo_connector *connector, const char *system, Check &check) {
    Operation operation;
    DeviceCode code;
    check(mxo_sign_in_start(connector, system, nullptr, nullptr, nullptr, nullptr, &operation, check));
    while (check(mxo_sign_in_code(connector, system, nullptr, 250, &code, check)) == MXO_TIMEOUT) {
    }
    std::cout << "code " << mxo_device_code_user_code(code) << "\nlink " << mxo_device_code_verification_uri(code)
              << std::endl;
    if (person_confirms(mxo_device_code_verification_uri(code), mxo_device_code_user_code(code)) != 0)
        throw std::runtime_error("host: MXO_APPROVE failed");
    while (check(mxo_operation_wait(operation, 250, nullptr, check)) == MXO_TIMEOUT) {
    }
}

void tell_connection(mxo_connector *connector, const char *system_id, Check &check) {
    Value system;
    check(mxo_system_get(connector, system_id, &system, check));
    std::cout << "connected " << text(mxo_value_string(system, "/status/login_name")) << std::endl;
    for (std::size_t i = 0; i < mxo_value_count(system, "/status/warnings"); i++) {
        const std::string path = "/status/warnings/" + std::to_string(i);
        const auto member = [&](const char *name) { return text(mxo_value_string(system, (path + name).c_str())); };
        std::cout << "warning " << member("/protocol") << ' ' << member("/name") << ": " << member("/message") << " | "
                  << member("/remedy") << std::endl;
    }
}

void tokens(mxo_connector *connector, const char *system, Check &check) {
    Text token, refreshed, xoauth2;
    check(mxo_access_token(connector, system, 0, 60000, &token, nullptr, check));
    std::cout << "token " << std::string(token).size() << std::endl;
    check(mxo_access_token(connector, system, 1000000, 60000, &refreshed, nullptr, check));
    std::cout << "refreshed " << std::string(refreshed).size() << std::endl;
    if (std::string(token) == std::string(refreshed))
        throw std::runtime_error("host: the refreshed token is the old one");
    check(mxo_xoauth2(connector, system, nullptr, 60000, &xoauth2, check));
    std::cout << "xoauth2 " << std::string(xoauth2).size() << std::endl;
}

void add_recipients(mxo_mail *mail, int32_t kind, const char *list, const char *name, Check &check) {
    std::istringstream addresses(list ? list : "");
    for (std::string address; std::getline(addresses, address, ','); name = nullptr)
        check(mxo_mail_add_recipient(mail, kind, address.c_str(), name, check));
}

void send_mail(mxo_connector *connector, const char *system, Check &check) {
    Mail mail;
    Value report;
    check(mxo_mail_new(&mail, check));
    if (setting("MXO_FROM"))
        check(mxo_mail_set_from(mail, setting("MXO_FROM"), nullptr, check));
    add_recipients(mail, MXO_TO, setting("MXO_TO"), setting("MXO_TO_NAME"), check);
    add_recipients(mail, MXO_BCC, setting("MXO_BCC"), nullptr, check);
    check(mxo_mail_set_subject(mail, setting("MXO_SUBJECT"), check));
    check(mxo_mail_set_text(mail, setting("MXO_TEXT"), check));
    check(mxo_mail_attach_file(mail, setting("MXO_ATTACH"), nullptr, "application/pdf", check));
    if (check(mxo_send(connector, system, mail, 60000, &report, check)) == MXO_PARTIAL)
        std::cerr << "some recipients were refused: " << mxo_value_json(report) << std::endl;
    std::cout << "sent " << text(mxo_value_string(report, "/reply")) << std::endl;
}

void send_note(mxo_connector *connector, const char *system, const char *to, Check &check) {
    Events events;
    Mail mail;
    Operation sending;
    check(mxo_events_open(connector, "{\"types\": [\"completion\"]}", &events, check));
    check(mxo_mail_new(&mail, check));
    add_recipients(mail, MXO_TO, to, nullptr, check);
    check(mxo_mail_set_subject(mail, "It was sent", check));
    check(mxo_send_start(connector, system, mail, nullptr, nullptr, nullptr, &sending, check));
    for (;;) {
        Value event;
        if (check(mxo_events_next(events, 60000, &event, check)) != MXO_OK)
            throw std::runtime_error("host: the completion did not come");
        if (mxo_value_integer(event, "/operation_id", 0) == mxo_operation_id(sending))
            break;
    }
    const mxo_status status = check(mxo_operation_wait(sending, 0, nullptr, check));
    std::cout << "completed " << text(mxo_status_name(status)) << std::endl;
}

void main_job() {
    Check check;
    Connector connector;
    Text system;
    const std::string job = setting("MXO_JOB") ? setting("MXO_JOB") : "all";
    check(mxo_connector_open(setting("MXO_OPTIONS"), &connector, check));
    check(mxo_system_add(connector, "Microsoft Exchange Online", setting("MXO_CLIENT_ID"), setting("MXO_TENANT_ID"),
                         setting("MXO_SETTINGS"), &system, check));
    sign_in(connector, system, check);
    tell_connection(connector, system, check);
    tokens(connector, system, check);
    if (job == "all")
        send_mail(connector, system, check);
    if (job == "all" && setting("MXO_NOTE_TO"))
        send_note(connector, system, setting("MXO_NOTE_TO"), check);
    check(mxo_sign_out(connector, system, check));
    check(mxo_system_remove(connector, system, check));
}

}  // namespace

int main() {
    try {
        main_job();
        std::cout << "done" << std::endl;
    } catch (const std::exception &failure) {
        std::cout << "failed " << failure.what() << std::endl;
        return 3;
    }
}
