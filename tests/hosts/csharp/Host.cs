// A host in C#: the main job on the bare C functions, pulled. Compiles with Mono's mcs (C# 7.0). What it reads from the
// environment and prints: see ../run.

using System;
using System.Diagnostics;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

// The functions as the header has them: texts as bytes with a final zero, handles and owned texts as pointers.
static class Mxo
{
    const string Library = "myq_exchange_online";
    const CallingConvention C = CallingConvention.Cdecl;

    public const int Ok = 0, Timeout = 2, Partial = 4, To = 0, Bcc = 2, Major = 1;

    [DllImport(Library, CallingConvention = C)] public static extern uint mxo_abi_version();
    [DllImport(Library, CallingConvention = C)] public static extern IntPtr mxo_status_name(int status);
    [DllImport(Library, CallingConvention = C)] public static extern IntPtr mxo_error_message(IntPtr error);
    [DllImport(Library, CallingConvention = C)] public static extern IntPtr mxo_error_remedy(IntPtr error);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_error_free(IntPtr error);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_string_free(IntPtr text);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_connector_open(byte[] options, out IntPtr connector, out IntPtr error);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_connector_close(IntPtr connector);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_events_open(IntPtr connector, byte[] filter, out IntPtr events, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_events_next(IntPtr events, uint timeoutMs, out IntPtr value, out IntPtr error);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_events_close(IntPtr events);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_system_add(IntPtr connector, byte[] title, byte[] clientId, byte[] tenantId, byte[] settings,
        out IntPtr system, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_system_get(IntPtr connector, byte[] system, out IntPtr value, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_system_remove(IntPtr connector, byte[] system, out IntPtr error);

    // No callback, no user data, nothing to release: three nulls.
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_sign_in_start(IntPtr connector, byte[] system, byte[] options, IntPtr onChange, IntPtr userData,
        IntPtr drop, out IntPtr operation, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_sign_in_code(IntPtr connector, byte[] system, byte[] signIn, uint timeoutMs, out IntPtr code,
        out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_sign_out(IntPtr connector, byte[] system, out IntPtr error);

    [DllImport(Library, CallingConvention = C)] public static extern IntPtr mxo_device_code_user_code(IntPtr code);
    [DllImport(Library, CallingConvention = C)] public static extern IntPtr mxo_device_code_verification_uri(IntPtr code);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_device_code_free(IntPtr code);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_access_token(IntPtr connector, byte[] system, uint minValidityS, uint timeoutMs, out IntPtr token,
        out long expiresAt, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_xoauth2(IntPtr connector, byte[] system, byte[] mailbox, uint timeoutMs, out IntPtr response,
        out IntPtr error);

    [DllImport(Library, CallingConvention = C)] public static extern int mxo_mail_new(out IntPtr mail, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_mail_set_from(IntPtr mail, byte[] address, byte[] name, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_mail_add_recipient(IntPtr mail, int kind, byte[] address, byte[] name, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_mail_set_subject(IntPtr mail, byte[] subject, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_mail_set_text(IntPtr mail, byte[] text, out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_mail_attach_file(IntPtr mail, byte[] path, byte[] name, byte[] contentType, out IntPtr error);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_mail_free(IntPtr mail);

    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_send(IntPtr connector, byte[] system, IntPtr mail, uint timeoutMs, out IntPtr report,
        out IntPtr error);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_send_start(IntPtr connector, byte[] system, IntPtr mail, IntPtr onChange, IntPtr userData,
        IntPtr drop, out IntPtr operation, out IntPtr error);

    [DllImport(Library, CallingConvention = C)] public static extern long mxo_operation_id(IntPtr operation);
    [DllImport(Library, CallingConvention = C)]
    public static extern int mxo_operation_wait(IntPtr operation, uint timeoutMs, out IntPtr result, out IntPtr error);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_operation_free(IntPtr operation);

    [DllImport(Library, CallingConvention = C)] public static extern IntPtr mxo_value_string(IntPtr value, byte[] path);
    [DllImport(Library, CallingConvention = C)] public static extern long mxo_value_integer(IntPtr value, byte[] path, long fallback);
    [DllImport(Library, CallingConvention = C)] public static extern UIntPtr mxo_value_count(IntPtr value, byte[] path);
    [DllImport(Library, CallingConvention = C)] public static extern IntPtr mxo_value_json(IntPtr value);
    [DllImport(Library, CallingConvention = C)] public static extern void mxo_value_free(IntPtr value);
}

class Failed : Exception
{
    public Failed(string message) : base(message) { }
}

static class Host
{
    static readonly TextWriter output = Utf8Writer(Console.OpenStandardOutput()), errors = Utf8Writer(Console.OpenStandardError());
    static readonly IntPtr none = IntPtr.Zero;
    static IntPtr connector, error;
    static byte[] system;

    static TextWriter Utf8Writer(Stream stream) => new StreamWriter(stream, new UTF8Encoding(false)) { AutoFlush = true, NewLine = "\n" };

    // --- texts ---

    static byte[] Utf8(string text) => text == null ? null : Encoding.UTF8.GetBytes(text + "\0");

    static string Text(IntPtr text)
    {
        if (text == IntPtr.Zero)
            return null;
        var length = 0;
        while (Marshal.ReadByte(text, length) != 0)
            length++;
        var bytes = new byte[length];
        Marshal.Copy(text, bytes, 0, length);
        return Encoding.UTF8.GetString(bytes);
    }

    // A text that is ours: copied and freed.
    static string Take(IntPtr text)
    {
        var copy = Text(text);
        Mxo.mxo_string_free(text);
        return copy;
    }

    static string Member(IntPtr value, string path) => Text(Mxo.mxo_value_string(value, Utf8(path))) ?? "-";

    static string Setting(string name)
    {
        var value = Environment.GetEnvironmentVariable(name);
        return string.IsNullOrEmpty(value) ? null : value;
    }

    // --- statuses ---

    // Throws for a failure; the positive statuses are for the caller to judge.
    static int Check(int status)
    {
        if (status >= 0)
            return status;
        var name = Text(Mxo.mxo_status_name(status)) ?? status.ToString();
        var failure = name + ": " + Text(Mxo.mxo_error_message(error)) + " | " + (Text(Mxo.mxo_error_remedy(error)) ?? "-");
        Mxo.mxo_error_free(error);
        throw new Failed(failure);
    }

    // --- steps ---

    static void PersonConfirms(string link, string code)
    {
        if (Setting("MXO_APPROVE") == null)
            return;
        // By the environment, where they need no quoting.
        var start = new ProcessStartInfo("/bin/sh", "-c '$MXO_APPROVE \"$LINK\" \"$CODE\" >&2'") { UseShellExecute = false };
        start.EnvironmentVariables["LINK"] = link;
        start.EnvironmentVariables["CODE"] = code;
        using (var person = Process.Start(start))
        {
            person.WaitForExit();
            if (person.ExitCode != 0)
                throw new Failed("host: MXO_APPROVE failed");
        }
    }

    static void SignIn()
    {
        IntPtr operation, code;
        Check(Mxo.mxo_sign_in_start(connector, system, null, none, none, none, out operation, out error));
        while (Check(Mxo.mxo_sign_in_code(connector, system, null, 250, out code, out error)) == Mxo.Timeout) { }
        string userCode = Text(Mxo.mxo_device_code_user_code(code)), link = Text(Mxo.mxo_device_code_verification_uri(code));
        Mxo.mxo_device_code_free(code);
        output.WriteLine("code " + userCode);
        output.WriteLine("link " + link);
        PersonConfirms(link, userCode);

        IntPtr result;
        while (Check(Mxo.mxo_operation_wait(operation, 250, out result, out error)) == Mxo.Timeout) { }
        Mxo.mxo_value_free(result);
        Mxo.mxo_operation_free(operation);
    }

    static void TellConnection()
    {
        Check(Mxo.mxo_system_get(connector, system, out var value, out error));
        output.WriteLine("connected " + Member(value, "/status/login_name"));
        var count = (int)Mxo.mxo_value_count(value, Utf8("/status/warnings"));
        for (var i = 0; i < count; i++)
        {
            var path = "/status/warnings/" + i;
            output.WriteLine("warning " + Member(value, path + "/protocol") + " " + Member(value, path + "/name") + ": "
                + Member(value, path + "/message") + " | " + Member(value, path + "/remedy"));
        }
        Mxo.mxo_value_free(value);
    }

    static void Tokens()
    {
        Check(Mxo.mxo_access_token(connector, system, 0, 60000, out var text, out var expiresAt, out error));
        var token = Take(text);
        output.WriteLine("token " + token.Length);
        Check(Mxo.mxo_access_token(connector, system, 1000000, 60000, out text, out expiresAt, out error));
        var refreshed = Take(text);
        output.WriteLine("refreshed " + refreshed.Length);
        if (refreshed == token)
            throw new Failed("host: the refreshed token is the old one");
        Check(Mxo.mxo_xoauth2(connector, system, null, 60000, out text, out error));
        output.WriteLine("xoauth2 " + Take(text).Length);
    }

    static void AddRecipients(IntPtr mail, int kind, string list, string name)
    {
        foreach (var address in (list ?? "").Split(new[] { ',' }, StringSplitOptions.RemoveEmptyEntries))
        {
            Check(Mxo.mxo_mail_add_recipient(mail, kind, Utf8(address), Utf8(name), out error));
            name = null;
        }
    }

    static void SendMail()
    {
        Check(Mxo.mxo_mail_new(out var mail, out error));
        if (Setting("MXO_FROM") != null)
            Check(Mxo.mxo_mail_set_from(mail, Utf8(Setting("MXO_FROM")), null, out error));
        AddRecipients(mail, Mxo.To, Setting("MXO_TO"), Setting("MXO_TO_NAME"));
        AddRecipients(mail, Mxo.Bcc, Setting("MXO_BCC"), null);
        Check(Mxo.mxo_mail_set_subject(mail, Utf8(Setting("MXO_SUBJECT")), out error));
        Check(Mxo.mxo_mail_set_text(mail, Utf8(Setting("MXO_TEXT")), out error));
        Check(Mxo.mxo_mail_attach_file(mail, Utf8(Setting("MXO_ATTACH")), null, Utf8("application/pdf"), out error));
        if (Check(Mxo.mxo_send(connector, system, mail, 60000, out var report, out error)) == Mxo.Partial)
            errors.WriteLine("some recipients were refused: " + Text(Mxo.mxo_value_json(report)));
        output.WriteLine("sent " + Member(report, "/reply"));
        Mxo.mxo_value_free(report);
        Mxo.mxo_mail_free(mail);
    }

    // The end is told as an event, as it would be to the one thread that serves many operations.
    static void SendNote(string to)
    {
        Check(Mxo.mxo_events_open(connector, Utf8("{\"types\": [\"completion\"]}"), out var events, out error));
        Check(Mxo.mxo_mail_new(out var mail, out error));
        AddRecipients(mail, Mxo.To, to, null);
        Check(Mxo.mxo_mail_set_subject(mail, Utf8("It was sent"), out error));
        Check(Mxo.mxo_send_start(connector, system, mail, none, none, none, out var sending, out error));
        Mxo.mxo_mail_free(mail);
        for (var found = false; !found;)
        {
            if (Check(Mxo.mxo_events_next(events, 60000, out var value, out error)) != Mxo.Ok)
                throw new Failed("host: the completion did not come");
            found = Mxo.mxo_value_integer(value, Utf8("/operation_id"), 0) == Mxo.mxo_operation_id(sending);
            Mxo.mxo_value_free(value);
        }
        var status = Check(Mxo.mxo_operation_wait(sending, 0, out var result, out error));
        output.WriteLine("completed " + Text(Mxo.mxo_status_name(status)));
        Mxo.mxo_value_free(result);
        Mxo.mxo_operation_free(sending);
        Mxo.mxo_events_close(events);
    }

    static void MainJob()
    {
        Check(Mxo.mxo_connector_open(Utf8(Setting("MXO_OPTIONS")), out connector, out error));
        Check(Mxo.mxo_system_add(connector, Utf8("Microsoft Exchange Online"), Utf8(Setting("MXO_CLIENT_ID")),
            Utf8(Setting("MXO_TENANT_ID")), Utf8(Setting("MXO_SETTINGS")), out var id, out error));
        system = Utf8(Take(id));
        SignIn();
        TellConnection();
        Tokens();
        if ((Setting("MXO_JOB") ?? "all") == "all")
        {
            SendMail();
            if (Setting("MXO_NOTE_TO") != null)
                SendNote(Setting("MXO_NOTE_TO"));
        }
        Check(Mxo.mxo_sign_out(connector, system, out error));
        Check(Mxo.mxo_system_remove(connector, system, out error));
    }

    static int Main()
    {
        var major = Mxo.mxo_abi_version() >> 16;
        if (major != Mxo.Major)
        {
            errors.WriteLine("the ABI of the library is " + major + ", wanted is " + Mxo.Major);
            return 2;
        }
        try
        {
            MainJob();
            output.WriteLine("done");
            return 0;
        }
        catch (Failed failure)
        {
            output.WriteLine("failed " + failure.Message);
            return 3;
        }
        finally
        {
            Mxo.mxo_connector_close(connector);
        }
    }
}
