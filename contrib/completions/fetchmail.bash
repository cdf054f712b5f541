# Generated from the option table of package rcfile: do not edit.
_fetchmail() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	[[ $cur == = ]] && cur= # --option=value comes as three words
	[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
	case $prev in
	--bad-header)
		COMPREPLY=($(compgen -W 'reject accept' -- "$cur"))
		return ;;
	-p|--proto|--protocol)
		COMPREPLY=($(compgen -W 'auto pop2 pop3 apop rpop kpop sdps imap etrn odmr' -- "$cur"))
		return ;;
	--auth)
		COMPREPLY=($(compgen -W 'any password kerberos kerberos_v4 kerberos_v5 gssapi cram-md5 cram otp msn ntlm ssh external implicit apop oauthbearer xoauth2 plain login scram scram-sha-1 scram-sha-256' -- "$cur"))
		return ;;
	--logformat)
		COMPREPLY=($(compgen -W 'classic json' -- "$cur"))
		return ;;
	--retrieve-error)
		COMPREPLY=($(compgen -W 'abort continue markseen' -- "$cur"))
		return ;;
	--onreject)
		COMPREPLY=($(compgen -W 'keep bounce deadletter' -- "$cur"))
		return ;;
	--sslmode|--tlsmode)
		COMPREPLY=($(compgen -W 'none wrapped starttls=may starttls=must' -- "$cur"))
		return ;;
	-L|--logfile|-f|--fetchmailrc|-i|--idfile|--pidfile|--bsmtp|--sslkey|--sslcert|--sslcertfile|--sslcertpath|--passwordfile|--maildir|--mbox|--deadletter)
		COMPREPLY=($(compgen -f -- "$cur"))
		return ;;
	-d|--daemon|--postmaster|--port|-P|--service|-t|--timeout|-E|--envelope|-Q|--qvirtual|-u|--user|--username|-l|--limit|-w|--warnings|-r|--folder|-S|--smtphost|--fetchdomains|-D|--smtpaddress|--smtpname|-Z|--antispam|-b|--batchlimit|-B|--fetchlimit|--fetchsizelimit|--fastuidl|-e|--expunge|-m|--mda|-I|--interface|-M|--monitor|--sslproto|--sslcommonname|--sslfingerprint|--principal|--plugin|--plugout|--jobs|--metrics|--idletimeout|--maxconnections|--passwordfd|--mdatimeout|--moveto)
		return ;;
	esac
	[[ $cur == -* ]] && COMPREPLY=($(compgen -W '--help -V --version -c --check -s --silent -v --verbose -d --daemon -N --nodetach -q --quit -L --logfile --showdots --syslog --nosyslog --invisible -f --fetchmailrc -i --idfile --pidfile --postmaster --nobounce --nosoftbounce --softbounce --bad-header -p --proto --protocol -U --uidl --idle --port -P --service --auth -t --timeout -E --envelope -Q --qvirtual -u --user --username -a --all --fetchall -K --nokeep -k --keep -F --flush --limitflush -n --norewrite -l --limit -w --warnings -r --folder -S --smtphost --fetchdomains -D --smtpaddress --smtpname -Z --antispam -b --batchlimit -B --fetchlimit --fetchsizelimit --fastuidl -e --expunge -m --mda --bsmtp --lmtp -I --interface -M --monitor --ssl --sslkey --sslcert --sslproto --sslcertck --nosslcertck --sslcertfile --sslcertpath --sslcommonname --sslfingerprint --principal --plugin --plugout --configdump --tracepolls -y --yydebug --jobs --logformat --metrics --retrieve-error --idletimeout --maxconnections --passwordfile --passwordfd --maildir --mbox --mdatimeout --onreject --deadletter --moveto --sslmode --tlsmode --forceidle --noforceidle --configcheck --status --healthcheck' -- "$cur"))
}
complete -F _fetchmail fetchmail
