from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_first")]
    operations = [
        migrations.AddField(
            "book", "price", models.DecimalField(max_digits=8, decimal_places=2, default=0)
        ),
        migrations.AddField("author", "country", models.CharField(max_length=2, null=True)),
    ]
